// drive runs a Foundry bundle with Metal and nothing else: token ids in, token ids out.
//
//     drive PLAN-DIR WEIGHTS N ID...
//
// WEIGHTS is a safetensors file or a folder of them, N the most tokens to generate, the
// IDs are the prompt. docs/plan-format.md says what everything here is about. On a Mac:
//
//     c++ -std=c++17 -O2 drive.cc -framework Metal -framework Foundation -framework CoreGraphics -lobjc -o drive
//
// It reads weights that stand in the checkpoint as the plan wants them, plain ones of any
// float type, affine ones of MLX folders, and makes q8_0.
#include "json.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

using Bytes = vector<uint8_t>;

string read_file(const string& path) {
    std::ifstream f(path, std::ios::binary);
    if (!f) fail(path + " cannot be read");
    return string(std::istreambuf_iterator<char>(f), {});
}

// ---- SHA-256 (FIPS 180-4), as hexadecimal digits

string sha256(string text) {
    // The first 32 bits of the fractional parts of the cube and square roots of primes.
    uint32_t k[64], h[8];
    for (int n = 0, p = 2; n < 64; p++) {
        bool prime = true;
        for (int d = 2; d * d <= p; d++) prime &= p % d != 0;
        if (!prime) continue;
        long double c = cbrtl(p), s = sqrtl(p);
        if (n < 8) h[n] = (uint32_t)((s - floorl(s)) * 4294967296.0L);
        k[n++] = (uint32_t)((c - floorl(c)) * 4294967296.0L);
    }
    uint64_t bits = text.size() * 8;
    text += (char)0x80;
    while (text.size() % 64 != 56) text += (char)0;
    for (int i = 7; i >= 0; i--) text += (char)(bits >> 8 * i);
    auto turn = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
    for (size_t at = 0; at < text.size(); at += 64) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++) {
            const uint8_t* b = (const uint8_t*)&text[at + 4 * i];
            w[i] = (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
        }
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] + (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t a = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
            uint32_t b = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += a, v[0] = a + b;
        }
        for (int i = 0; i < 8; i++) h[i] += v[i];
    }
    char out[65];
    for (int i = 0; i < 8; i++) snprintf(out + 8 * i, 9, "%08x", h[i]);
    return out;
}

// ---- Numbers

// half_of rounds to nearest even, as convert does.
uint16_t half_of(float f) {
    uint32_t x;
    memcpy(&x, &f, 4);
    uint32_t sign = x >> 16 & 0x8000, rest = x & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (rest >= 0x47800000) return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) return (uint16_t)(sign | (uint32_t)nearbyintf(fabsf(f) * 16777216.0f));  // below 2^-14: whole multiples of 2^-24
    rest += 0xfff + (rest >> 13 & 1);
    return (uint16_t)(sign | (rest - 0x38000000) >> 13);
}

float float_of_half(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(m | 1024), e - 25) : ldexpf((float)m, -24);
    return h & 0x8000 ? -v : v;
}

uint16_t bfloat_of(float f) {
    uint32_t x;
    memcpy(&x, &f, 4);
    return f != f ? (uint16_t)(x >> 16 | 64) : (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

float element(const string& dtype, const uint8_t* p, size_t i) {
    uint32_t x = 0;
    float f;
    if (dtype == "f32") memcpy(&f, p + 4 * i, 4);
    else if (memcpy(&x, p + 2 * i, 2); dtype == "f16") f = float_of_half((uint16_t)x);
    else x <<= 16, memcpy(&f, &x, 4);
    return f;
}

// numbers returns n values in a plain dtype.
template <class F> Bytes numbers(const string& dtype, size_t n, F value) {
    size_t size = dtype == "f32" || dtype == "i32" ? 4 : 2;
    Bytes out(n * size);
    for (size_t i = 0; i < n; i++) {
        float f = value(i);
        int32_t whole = (int32_t)f;
        uint16_t half = dtype == "f16" ? half_of(f) : bfloat_of(f);
        memcpy(&out[i * size], size == 2 ? (void*)&half : dtype == "i32" ? (void*)&whole : (void*)&f, size);
    }
    return out;
}

// eval computes a dim: a sum of numbers, T, P, S and number*symbol.
int64_t eval(const string& dim, int64_t T, int64_t P) {
    int64_t sum = 0;
    const char* p = dim.c_str();
    while (*p) {
        int64_t sign = *p == '-' ? -1 : 1, n = 1;
        if (*p == '-' || *p == '+') p++;
        if (*p >= '0' && *p <= '9') n = strtoll(p, (char**)&p, 10);
        if (*p == '*') p++;
        if (*p == 'T' || *p == 'P' || *p == 'S') n *= *p == 'T' ? T : *p == 'P' ? P : P + T, p++;
        else if (*p && *p != '+' && *p != '-') fail("the dim " + dim);
        sum += sign * n;
    }
    return sum;
}

// ---- Weights: safetensors files, mapped

struct Tensor {
    string dtype;
    size_t elements = 1, bytes = 0;
    const uint8_t* data = nullptr;
};

struct Checkpoint {
    std::map<string, Tensor> tensors;

    explicit Checkpoint(const string& path) {
        vector<string> files;
        std::error_code none;
        for (auto& e : std::filesystem::directory_iterator(path, none))
            if (e.path().extension() == ".safetensors") files.push_back(e.path().string());
        if (files.empty() && std::filesystem::is_directory(path, none)) fail(path + " holds no .safetensors file");
        if (files.empty()) files.push_back(path);
        for (auto& f : files) open(f);
    }

    void open(const string& path) {
        int fd = ::open(path.c_str(), O_RDONLY);
        struct stat info;
        if (fd < 0 || fstat(fd, &info) || info.st_size < 8) fail(path + " cannot be read as safetensors");
        size_t size = (size_t)info.st_size;
        void* map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
        close(fd);
        if (map == MAP_FAILED) fail(path + " cannot be mapped");
        const char* text = (const char*)map + 8;
        uint64_t head;
        memcpy(&head, map, 8);
        if (head > size - 8) fail(path + ": the header is longer than the file");
        Json all = JsonReader(text, text + head).read();
        for (auto& [name, j] : all.fields) {
            if (name == "__metadata__") continue;
            Tensor t;
            static const std::map<string, string> types = {{"F32", "f32"}, {"F16", "f16"}, {"BF16", "bf16"}};
            auto known = types.find(j["dtype"].str());
            t.dtype = known == types.end() ? j["dtype"].str() : known->second;
            for (auto& d : j["shape"].items) t.elements *= (size_t)d.integer();
            uint64_t from = (uint64_t)j["data_offsets"][0].integer(), to = (uint64_t)j["data_offsets"][1].integer();
            if (from > to || to > size - 8 - head) fail(path + ": tensor " + name + " lies outside the file");
            t.data = (const uint8_t*)text + head + from;
            t.bytes = to - from;
            tensors[name] = t;
        }
    }

    const Tensor& find(const string& name) const {
        auto it = tensors.find(name);
        if (it == tensors.end()) fail("the checkpoint has no tensor " + name + ", which the plan wants");
        return it->second;
    }
};

// affine puts levels, scales and biases of an MLX folder together, group by group.
Bytes affine(const Checkpoint& c, const string& name, const string& dtype) {
    int bits, group, used = 0;
    if (sscanf(dtype.c_str(), "affine%d_g%d_%n", &bits, &group, &used) != 2 || dtype.find("_zero") != string::npos)
        fail("weights of " + dtype + " are not read here: " + name);
    string base = name.substr(0, name.size() - strlen(".weight"));
    const Tensor &w = c.find(name), &s = c.find(base + ".scales"), &b = c.find(base + ".biases");
    size_t levels = (size_t)(bits * group / 8), size = s.elements ? s.bytes / s.elements : 0;
    if (s.dtype != dtype.substr((size_t)used) || s.dtype != b.dtype || s.elements != b.elements || w.bytes != s.elements * levels)
        fail(name + " and its scales and biases are no " + dtype);
    Bytes out;
    for (size_t i = 0; i < s.elements; i++) {
        out.insert(out.end(), s.data + i * size, s.data + (i + 1) * size);
        out.insert(out.end(), b.data + i * size, b.data + (i + 1) * size);
        out.insert(out.end(), w.data + i * levels, w.data + (i + 1) * levels);
    }
    return out;
}

// q8_0 is blocks of 32: a scale of f16, then the levels, as GGML makes them.
Bytes q8_0(const Tensor& t) {
    Bytes out;
    for (size_t i = 0; i + 32 <= t.elements; i += 32) {
        float x[32], most = 0;
        for (size_t j = 0; j < 32; j++) most = std::max(most, fabsf(x[j] = element(t.dtype, t.data, i + j)));
        float scale = most / 127, inverse = scale ? 1 / scale : 0;
        uint16_t h = half_of(scale);
        out.push_back((uint8_t)h), out.push_back((uint8_t)(h >> 8));
        for (float v : x) out.push_back((uint8_t)(int8_t)roundf(v * inverse));
    }
    return out;
}

Bytes weight(const Checkpoint& c, const Json& buffer) {
    const string &name = buffer["weight"]["tensor"].str(), &kind = buffer["weight"]["kind"].str(), &dtype = buffer["dtype"].str();
    if (kind == "as_stored" && dtype.rfind("affine", 0) == 0) return affine(c, name, dtype);
    const Tensor& t = c.find(name);
    if (kind == "as_stored" && t.dtype == dtype) return Bytes(t.data, t.data + t.bytes);
    bool plain = (t.dtype == "f32" || t.dtype == "f16" || t.dtype == "bf16") && t.bytes == t.elements * (t.dtype == "f32" ? 4 : 2);
    if (plain && kind == "convert") return numbers(dtype, t.elements, [&](size_t i) { return element(t.dtype, t.data, i); });
    if (plain && kind == "quantise" && dtype == "q8_0") return q8_0(t);
    fail("tensor " + name + " is " + t.dtype + "; this driver does not make " + dtype + " of it (" + kind + ")");
}

// ---- Metal, by its messages

struct objc_object;
using id = objc_object*;
using NSUInteger = unsigned long;
struct MTLSize {
    NSUInteger width, height, depth;
};
extern "C" {
void objc_msgSend(void);
id objc_getClass(const char*);
void* sel_registerName(const char*);
void objc_release(id);
id objc_retain(id);
id objc_alloc_init(id);
void* objc_autoreleasePoolPush(void);
void objc_autoreleasePoolPop(void*);
id MTLCreateSystemDefaultDevice(void);
}

template <class R = id, class... A> R send(id to, const char* selector, A... a) {
    return ((R(*)(id, void*, A...))objc_msgSend)(to, sel_registerName(selector), a...);
}

struct Pool {
    void* pool = objc_autoreleasePoolPush();
    ~Pool() { objc_autoreleasePoolPop(pool); }
};

id string_of(const string& s) { return send((id)objc_getClass("NSString"), "stringWithCString:encoding:", s.c_str(), (NSUInteger)4); }

string why(id error) { return error ? send<const char*>(send(error, "localizedDescription"), "UTF8String") : "no reason given"; }

// ---- The plan

struct Driver {
    Json plan;
    id device = nullptr, queue = nullptr, arena = nullptr;
    vector<id> pipelines, buffers, owned;
    int step = -1, ids = -1, history = -1;  // buffers
    const Json* prefills = nullptr;
    vector<const Json*> decodes;  // by p_max; the last runs at any P

    // most is the largest P that an entry runs at.
    static int64_t most(const Json& entry) {
        const Json* p = entry.find("p_max");
        return p ? p->integer() : INT64_MAX;
    }

    Driver(const string& dir, const string& weights) {
        string text = read_file(dir + "/plan.json");
        plan = JsonReader(text.data(), text.data() + text.size()).read();
        if (int64_t v = plan["schema"].integer(); v != 5) fail(dir + ": a plan of schema " + std::to_string(v) + ", this driver reads 5; compile the model again");
        const string& hash = plan["hash"].str();
        size_t at = text.find(hash);
        if (hash.size() != 64 || sha256(text.erase(at, 64)) != hash) fail(dir + "/plan.json has another hash than it says");
        for (auto& e : plan["entries"].items) {
            const Json* role = e.find("role");
            if (role && role->str() == "prefill") prefills = &e;
            if (role && role->str() == "decode") decodes.push_back(&e);
        }
        std::sort(decodes.begin(), decodes.end(), [](auto a, auto b) { return most(*a) < most(*b); });
        for (size_t i = 0; i < plan["buffers"].items.size(); i++) {
            const Json* role = plan["buffers"][i].find("role");
            if (role && role->str() == "step") step = (int)i;
            if (role && role->str() == "ids") ids = (int)i;
            if (role && role->str() == "history") history = (int)i;
        }
        if (!prefills || decodes.empty() || most(*decodes.back()) < INT64_MAX || step < 0 || ids < 0 || history < 0) fail(dir + " holds no language model");
        Checkpoint checkpoint(weights);
        Pool pool;
        if (!(device = keep(MTLCreateSystemDefaultDevice()))) fail("there is no GPU for Metal here");
        queue = keep(send(device, "newCommandQueue"));
        compile(dir);
        allocate(checkpoint);
        if (const Json* prepare = plan.find("prepare")) wait(submit(*prepare, 1, 0));
    }
    ~Driver() {
        Pool pool;
        for (size_t i = owned.size(); i-- > 0;) objc_release(owned[i]);
    }

    id keep(id o) {
        if (o) owned.push_back(o);
        return o;
    }

    void compile(const string& dir) {
        id options = keep(objc_alloc_init(objc_getClass("MTLCompileOptions")));
        int major = 0, minor = 0;
        sscanf(plan["msl"].str().c_str(), "%d.%d", &major, &minor);
        send<void>(options, "setFastMathEnabled:", (signed char)0);
        send<void>(options, "setLanguageVersion:", (NSUInteger)(major << 16 | minor));
        for (auto& k : plan["kernels"].items) {
            string text = read_file(dir + "/" + k["file"].str());
            if (sha256(text) != k["sha256"].str()) fail(dir + "/" + k["file"].str() + " has another hash than the plan says");
            id error = nullptr;
            id library = keep(send(device, "newLibraryWithSource:options:error:", string_of(text), options, &error));
            if (!library) fail("kernel " + k["name"].str() + " does not compile: " + why(error));
            id function = keep(send(library, "newFunctionWithName:", string_of(k["name"].str())));
            id pipeline = function ? keep(send(device, "newComputePipelineStateWithFunction:error:", function, &error)) : nullptr;
            if (!pipeline) fail("kernel " + k["name"].str() + " makes no pipeline: " + why(error));
            pipelines.push_back(pipeline);
        }
    }

    id allocate(int64_t bytes) {
        id b = keep(send(device, "newBufferWithLength:options:", (NSUInteger)bytes, (NSUInteger)0));
        return b ? b : (fail("the GPU has no memory for " + std::to_string(bytes) + " bytes"), b);
    }

    void allocate(const Checkpoint& checkpoint) {
        arena = allocate(std::max<int64_t>(plan["arena_bytes"].integer(), 16));
        for (auto& b : plan["buffers"].items) {
            const string& cls = b["class"].str();
            buffers.push_back(cls == "transient" ? arena : allocate(b["bytes"].integer()));
            if (cls != "weight" && cls != "constant") continue;
            auto value = [&](size_t i) { return (float)b["values"][i].number; };
            Bytes content = cls == "weight" ? weight(checkpoint, b) : numbers(b["dtype"].str(), b["values"].items.size(), value);
            int64_t have = (int64_t)content.size(), want = b["bytes"].integer();
            if (have != want) fail("weight " + b["name"].str() + " has " + std::to_string(have) + " bytes, the plan wants " + std::to_string(want));
            memcpy(send<void*>(buffers.back(), "contents"), content.data(), content.size());
        }
    }

    // submit encodes runs of an entry, one behind the other, and returns its command
    // buffers: those of the plan for one run, one for several.
    vector<id> submit(const Json& entry, int64_t T, int64_t P, int64_t runs = 1) {
        Pool pool;
        vector<id> committed;
        vector<std::pair<int64_t, int64_t>> cuts;
        for (auto& cut : entry["command_buffers"].items) cuts.push_back({cut["first"].integer(), cut["last"].integer()});
        if (runs > 1) cuts = {{0, (int64_t)entry["steps"].items.size()}};
        for (auto [first, last] : cuts) {
            id commands = send(queue, "commandBuffer");
            id encoder = send(commands, "computeCommandEncoderWithDispatchType:", (NSUInteger)1);
            for (int64_t run = 0; run < runs; run++) {
                if (run) send<void>(encoder, "memoryBarrierWithScope:", (NSUInteger)1);
                for (int64_t i = first; i < last; i++) {
                    if (const Json* d = entry["steps"][(size_t)i].find("dispatch")) dispatch(encoder, *d, T, P);
                    else send<void>(encoder, "memoryBarrierWithScope:", (NSUInteger)1);
                }
            }
            send<void>(encoder, "endEncoding");
            send<void>(commands, "commit");
            committed.push_back(objc_retain(commands));
        }
        return committed;
    }

    // wait returns when command buffers have completed, and checks what the model says.
    void wait(const vector<id>& committed) {
        Pool pool;
        for (id c : committed) {
            send<void>(c, "waitUntilCompleted");
            if (send<NSUInteger>(c, "status") != 4) fail("the GPU gave up: " + why(send(c, "error")));
            objc_release(c);
        }
        static const char* const wrong[] = {"", "a token id outside the vocabulary", "logits that are not finite", "a value that a cache of f16 cannot hold"};
        if (const uint32_t* s = (const uint32_t*)contents(step); s[4])
            fail(string("the model stops: ") + (s[4] < 4 ? wrong[s[4]] : "an error of its kernels") + ", " + std::to_string(s[5]));
    }

    void* contents(int buffer) { return send<void*>(buffers[(size_t)buffer], "contents"); }

    void dispatch(id encoder, const Json& d, int64_t T, int64_t P) {
        size_t k = (size_t)d["kernel"].integer();
        const Json& kernel = plan["kernels"][k];
        send<void>(encoder, "setComputePipelineState:", pipelines[k]);
        for (size_t i = 0; i < d["bind"].items.size(); i++) {
            const Json& b = d["bind"][i];
            size_t n = (size_t)b["buffer"].integer();
            int64_t offset = 0;
            if (const Json* o = b.find("offset")) offset += o->integer();
            if (const Json* o = plan["buffers"][n].find("offset")) offset += o->integer();  // of a transient, in the arena
            send<void>(encoder, "setBuffer:offset:atIndex:", buffers[n], (NSUInteger)offset, (NSUInteger)i);
        }
        if (const Json* shared = kernel.find("threadgroup"))
            for (size_t i = 0; i < shared->items.size(); i++)
                send<void>(encoder, "setThreadgroupMemoryLength:atIndex:", (NSUInteger)(*shared)[i]["bytes"].integer(), (NSUInteger)i);
        NSUInteger n[3], t[3];
        for (size_t axis = 0; axis < 3; axis++) {
            int64_t div = d["grid"][axis]["div"].integer();
            n[axis] = (NSUInteger)((eval(d["grid"][axis]["n"].str(), T, P) + div - 1) / div);
            t[axis] = (NSUInteger)kernel["threads"][axis].integer();
        }
        send<void>(encoder, "dispatchThreadgroups:threadsPerThreadgroup:", MTLSize{n[0], n[1], n[2]}, MTLSize{t[0], t[1], t[2]});
    }

    void prefill(const vector<int32_t>& prompt) {
        int64_t most = (*prefills)["t_max"].integer();
        for (int64_t P = 0; P < (int64_t)prompt.size(); P += most) {
            Pool pool;
            int64_t T = std::min<int64_t>(most, (int64_t)prompt.size() - P);
            uint32_t words[32] = {(uint32_t)T, (uint32_t)P, (uint32_t)(P + T)};
            float one = 1;
            memcpy(&words[8], &one, 4), memcpy(&words[10], &one, 4);
            memcpy(contents(step), words, sizeof words);
            memcpy(contents(ids), &prompt[(size_t)P], (size_t)T * 4);
            wait(submit(*prefills, T, P));
        }
    }

    // generate prints the tokens behind the prompt, up to n, until an end id. Steps of decode
    // go to the GPU in the plan's chains, with the next one in flight: each feeds the next.
    void generate(const vector<int32_t>& prompt, int64_t n) {
        int64_t context = plan["model"]["context"].integer(), vocab = plan["model"]["vocab"].integer(), have = (int64_t)prompt.size();
        for (int32_t t : prompt)
            if (t < 0 || t >= vocab) fail("token " + std::to_string(t) + " is outside the vocabulary of " + std::to_string(vocab));
        if (have < 1 || n < 1 || have + n - 1 > context) fail(std::to_string(have) + " tokens and " + std::to_string(n) + " more do not fit the context of " + std::to_string(context));
        prefill(prompt);
        Pool pool;
        const Json *chain = decodes.back()->find("chain"), *all = plan.find("tokens");
        int64_t steps = 0, known = 1;  // submitted; tokens that have been chosen
        vector<vector<id>> flying;     // a chain that is waited for, and the next
        auto ahead = [&] {
            int64_t runs = std::min(chain ? chain->integer() : 1, n - 1 - steps);
            if (runs < 1) return;
            auto decode = decodes.begin();
            while (most(**decode) < have + steps + runs - 1) decode++;
            flying.push_back(submit(**decode, 1, have + steps, runs));
            steps += runs;
        };
        ahead();
        for (int64_t i = 0; i < n; i++) {
            if (i == known) {
                known = steps + 1;
                ahead();
                wait(flying.front());
                flying.erase(flying.begin());
            }
            int32_t token = ((const int32_t*)contents(history))[have + i];
            bool end = false;
            if (all)
                for (auto& e : (*all)["ends"].items) end |= e.integer() == token;
            if (end) break;
            printf("%s%d", i ? " " : "", token);
            fflush(stdout);
        }
        for (auto& f : flying) wait(f);  // at most one, which was in vain
    }
};

int main(int argc, char** argv) try {
    if (argc < 5) fail("usage: drive PLAN-DIR WEIGHTS N ID...");
    vector<int32_t> numbers;
    for (int i = 3; i < argc; i++) {
        char* end;
        numbers.push_back((int32_t)strtol(argv[i], &end, 10));
        if (!*argv[i] || *end) fail(string(argv[i]) + " is no number");
    }
    Driver driver(argv[1], argv[2]);
    driver.generate({numbers.begin() + 1, numbers.end()}, numbers[0]);
    printf("\n");
} catch (const std::exception& e) {
    fprintf(stderr, "drive: %s\n", e.what());
    return 1;
}
