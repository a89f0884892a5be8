// As much of JSON as plan.json and the heads of safetensors files need.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using std::string;
using std::vector;

[[noreturn]] inline void fail(const string& why) { throw std::runtime_error(why); }

struct Json {
    enum Kind { Other, Number, String, Array, Object } kind = Other;
    double number = 0;
    string text;
    vector<Json> items;
    vector<std::pair<string, Json>> fields;

    const Json* find(const string& name) const {
        for (auto& f : fields)
            if (f.first == name) return &f.second;
        return nullptr;
    }
    const Json& operator[](const string& name) const {
        if (const Json* j = find(name)) return *j;
        fail("JSON: the field \"" + name + "\" is missing");
    }
    const Json& operator[](size_t i) const { return i < items.size() ? items[i] : (fail("JSON: a list is too short"), *this); }
    int64_t integer() const { return kind == Number ? (int64_t)number : (fail("JSON: a number is missing"), 0); }
    const string& str() const { return kind == String ? text : (fail("JSON: a text is missing"), text); }
};

class JsonReader {
    const char *at, *end;
    void space() {
        while (at < end && strchr(" \t\r\n", *at)) at++;
    }
    bool take(const char* word) {
        size_t n = strlen(word);
        return (size_t)(end - at) >= n && !memcmp(at, word, n) ? (at += n, true) : false;
    }
    void want(const char* word) {
        space();
        if (!take(word)) fail(string("JSON: want ") + word);
    }
    string text() {
        want("\"");
        string out;
        while (at < end && *at != '"') {
            if (*at != '\\' || at + 1 == end) out += *at++;
            else out += *at, out += at[1], at += 2;  // as it stands: no text that is used here has escapes
        }
        want("\"");
        return out;
    }
    Json value(int depth) {
        Json j;
        space();
        if (depth > 64) fail("JSON: too deep");
        if (at == end) fail("JSON: it ends too early");
        if (*at == '"') j.kind = Json::String, j.text = text();
        else if (take("{")) {
            j.kind = Json::Object;
            for (space(); !take("}"); space()) {
                if (!j.fields.empty()) want(",");
                j.fields.emplace_back(text(), Json());
                want(":");
                j.fields.back().second = value(depth + 1);
            }
        } else if (take("[")) {
            j.kind = Json::Array;
            for (space(); !take("]"); space()) {
                if (!j.items.empty()) want(",");
                j.items.push_back(value(depth + 1));
            }
        } else if (!take("true") && !take("false") && !take("null")) {
            size_t n = 0;
            while (at + n < end && strchr("+-.0123456789eE", at[n])) n++;
            if (!n) fail("JSON: a value is missing");
            j.kind = Json::Number, j.number = strtod(string(at, n).c_str(), nullptr);
            at += n;
        }
        return j;
    }

  public:
    JsonReader(const char* from, const char* to) : at(from), end(to) {}
    Json read() {
        Json j = value(0);
        space();
        return at == end ? j : (fail("JSON: something stands behind the value"), j);
    }
};
