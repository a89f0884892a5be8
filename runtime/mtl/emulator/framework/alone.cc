// Starting without a harness: the first program that asks for a GPU finds the
// executor, the kernels and a manifest in the folder that this library lies in. What the
// program did wrong is told on standard error when it ends, and is then its exit status.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "metal.h"

extern "C" {
int emulator_start(void* open, void* run, unsigned threads);
void emulator_kernel(const char* text, const char* function, const void* module, unsigned index);
void emulator_slot(const char* text, const char* name, int reads, int writes, int64_t bytes);
void emulator_array(const char* text, int64_t bytes);
long emulator_live();
long emulator_violations(char* out, long bytes);
}

namespace {

[[noreturn]] void give_up(const std::string& why) {
    fprintf(stderr, "emulated Metal: %s\n", why.c_str());
    _exit(70);
}

std::string read_file(const std::string& path) {
    std::ifstream f(path, std::ios::binary);
    std::stringstream text;
    text << f.rdbuf();
    if (!f || !text) give_up(path + " cannot be read");
    return text.str();
}

void* load(const std::string& path, const char* symbol) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);  // kernels find the executor's functions by name
    void* found = library ? dlsym(library, symbol) : nullptr;
    if (!found) give_up(dlerror());
    return found;
}

// tell runs at the program's end. A program that fails by itself need not have cleaned up.
void tell(int status, void*) {
    fflush(nullptr);
    long left = emulator_live();
    static char notes[64 << 10];
    bool wrong = emulator_violations(notes, sizeof notes) > 0;
    for (char* line = strtok(notes, "\n"); line; line = strtok(nullptr, "\n")) fprintf(stderr, "emulated Metal: %s\n", line);
    if (!status && left) fprintf(stderr, "emulated Metal: %ld objects are left at the end\n", left);
    if (wrong || (!status && left)) _exit(70);
}

}  // namespace

void start_alone() {
    Dl_info self;
    if (!dladdr((void*)start_alone, &self) || !self.dli_fname) give_up("the library does not know where it lies");
    std::string dir = self.dli_fname;
    size_t slash = dir.rfind('/');
    dir = slash == std::string::npos ? "." : dir.substr(0, slash);
    std::istringstream manifest(read_file(dir + "/manifest"));
    std::string line, text;
    if (!std::getline(manifest, line) || line != "foundry emulated-metal 1") give_up(dir + "/manifest is of another version: write the folder again with foundry emulate");
    void* open = load(dir + "/executor.so", "foundry_open");
    if (!emulator_start(open, load(dir + "/executor.so", "foundry_run"), 2)) give_up("the executor does not start");
    const void* module = ((const void* (*)())load(dir + "/kernels.so", "foundry_module"))();
    while (std::getline(manifest, line)) {
        std::istringstream words(line);
        std::string what, name;
        words >> what;
        if (what == "kernel") {
            unsigned index;
            words >> index >> name;
            text = read_file(dir + "/kernels/" + name + ".metal");
            emulator_kernel(text.c_str(), name.c_str(), module, index);
        } else if (what == "slot") {
            int reads, writes;
            int64_t bytes;
            words >> name >> reads >> writes >> bytes;
            emulator_slot(text.c_str(), name.c_str(), reads, writes, bytes);
        } else if (what == "array") {
            int64_t bytes;
            words >> bytes;
            emulator_array(text.c_str(), bytes);
        }
        if (!words) give_up(dir + "/manifest: the line \"" + line + "\" is damaged");
    }
    on_exit(tell, nullptr);
}
