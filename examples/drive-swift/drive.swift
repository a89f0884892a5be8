// drive runs a Foundry bundle on an Apple GPU: token ids in, token ids out.
//
//     swiftc -O drive.swift -o drive
//     ./drive PLAN-DIR WEIGHTS N ID...
//
// WEIGHTS is a safetensors file or a folder of them, N the most tokens to generate, the
// IDs are the prompt. docs/plan-format.md says what everything here is about;
// examples/drive-cpp is the same in C++, which runs in Foundry's tests. Nobody has compiled
// or run this file yet: there was no Swift compiler and no Mac.
//
// It reads weights that stand in the checkpoint as the plan wants them, plain ones of any
// float type, and affine ones of MLX folders. Steps of decode go to the GPU in the plan's
// chains, with the next one in flight. It wants Swift 5.7 and a Mac with an Apple GPU.
import CryptoKit
import Foundation
import Metal

struct Failure: Error { let why: String }

// ---- plan.json, as far as a driver needs it

struct Plan: Decodable {
    struct Model: Decodable { let context, vocab: Int }
    struct Tokens: Decodable { let ends: [Int32] }
    struct Argument: Decodable { let bytes: Int }
    struct Kernel: Decodable {
        let name, file, sha256: String
        let threadgroup: [Argument]?
        let threads: [Int]
    }
    struct Recipe: Decodable { let tensor, kind: String }
    struct Buffer: Decodable {
        let name, dtype: String
        let `class`: String
        let bytes: Int
        let offset: Int?
        let weight: Recipe?
        let values: [Float]?
        let role: String?
    }
    struct Extent: Decodable {
        let n: String
        let div: Int
    }
    struct Binding: Decodable {
        let buffer: Int
        let offset: Int?
    }
    struct Dispatch: Decodable {
        let kernel: Int
        let grid: [Extent]
        let bind: [Binding]
    }
    struct Step: Decodable { let dispatch: Dispatch? }  // nil: a barrier
    struct Cut: Decodable { let first, last: Int }
    struct Entry: Decodable {
        let role: String?
        let t_max: Int
        let p_max: Int?  // nil: any
        let steps: [Step]
        let command_buffers: [Cut]
        let chain: Int?
    }
    let schema: Int
    let hash, msl: String
    let model: Model
    let tokens: Tokens?
    let kernels: [Kernel]
    let buffers: [Buffer]
    let arena_bytes: Int
    let entries: [Entry]
    let prepare: Entry?
}

struct Version: Decodable { let schema: Int }

func sha256(_ data: Data) -> String { SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined() }

func readPlan(_ dir: URL) throws -> Plan {
    let data = try Data(contentsOf: dir.appendingPathComponent("plan.json"))
    let schema = try JSONDecoder().decode(Version.self, from: data).schema
    if schema != 5 { throw Failure(why: "\(dir.path): a plan of schema \(schema), this driver reads 5; compile the model again") }
    let plan = try JSONDecoder().decode(Plan.self, from: data)
    var hashed = data
    guard plan.hash.utf8.count == 64, let at = data.range(of: Data(plan.hash.utf8)) else { throw Failure(why: "plan.json has no hash") }
    hashed.removeSubrange(at)
    if sha256(hashed) != plan.hash { throw Failure(why: "\(dir.path)/plan.json has another hash than it says") }
    return plan
}

// eval computes a dim: a sum of numbers, T, P, S and number*symbol.
func eval(_ dim: String, _ T: Int, _ P: Int) -> Int {
    let terms = dim.replacingOccurrences(of: "-", with: "+-").split(separator: "+")
    return terms.reduce(0) { sum, term in
        sum + term.split(separator: "*").reduce(1) { product, factor in
            let negative = factor.hasPrefix("-")
            let word = negative ? factor.dropFirst() : factor
            let value = word == "T" ? T : word == "P" ? P : word == "S" ? P + T : Int(word) ?? 0
            return product * (negative ? -value : value)
        }
    }
}

// ---- Weights: safetensors files, mapped

struct Tensor {
    let dtype: String
    let elements: Int
    let data: Data
}

func readCheckpoint(_ path: String) throws -> [String: Tensor] {
    var files = [URL(fileURLWithPath: path)]
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
        files = try FileManager.default.contentsOfDirectory(at: files[0], includingPropertiesForKeys: nil).filter { $0.pathExtension == "safetensors" }
    }
    if files.isEmpty { throw Failure(why: "\(path) holds no .safetensors file") }
    let types = ["F32": "f32", "F16": "f16", "BF16": "bf16"]
    var tensors = [String: Tensor]()
    for file in files {
        let all = try Data(contentsOf: file, options: .alwaysMapped)
        let length = all.count < 8 ? UInt64.max : all.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        if length > UInt64(max(all.count - 8, 0)) { throw Failure(why: "\(file.path): the header is longer than the file") }
        let begin = 8 + Int(length)
        guard let head = try JSONSerialization.jsonObject(with: all.subdata(in: 8..<begin)) as? [String: Any] else { throw Failure(why: "\(file.path): the header is no object") }
        for (name, value) in head where name != "__metadata__" {
            guard let entry = value as? [String: Any], let dtype = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
                let place = entry["data_offsets"] as? [Int], place.count == 2, 0 <= place[0], place[0] <= place[1], place[1] <= all.count - begin
            else { throw Failure(why: "\(file.path): tensor \(name) is described wrongly") }
            tensors[name] = Tensor(dtype: types[dtype] ?? dtype, elements: shape.reduce(1, *), data: all[(begin + place[0])..<(begin + place[1])])
        }
    }
    return tensors
}

func floats(_ t: Tensor) -> [Float]? {
    t.data.withUnsafeBytes { raw in
        switch t.dtype {
        case "f32" where raw.count == 4 * t.elements: return (0..<t.elements).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        case "f16" where raw.count == 2 * t.elements: return (0..<t.elements).map { Float(Float16(bitPattern: raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self))) }
        case "bf16" where raw.count == 2 * t.elements: return (0..<t.elements).map { Float(bitPattern: UInt32(raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16) }
        default: return nil
        }
    }
}

// narrow rounds to nearest even.
func narrow(_ values: [Float], to dtype: String) throws -> Data {
    func bytes<E>(_ list: [E]) -> Data { list.withUnsafeBytes { Data($0) } }
    switch dtype {
    case "f32": return bytes(values)
    case "f16": return bytes(values.map { Float16($0).bitPattern })
    case "i32": return bytes(values.map { Int32($0) })
    case "bf16": return bytes(values.map { $0.isNaN ? UInt16($0.bitPattern >> 16 | 64) : UInt16(truncatingIfNeeded: ($0.bitPattern &+ 0x7fff &+ ($0.bitPattern >> 16 & 1)) >> 16) })
    default: throw Failure(why: "this driver makes no \(dtype)")
    }
}

func weight(_ b: Plan.Buffer, _ recipe: Plan.Recipe, _ tensors: [String: Tensor]) throws -> Data {
    func find(_ name: String) throws -> Tensor {
        if let t = tensors[name] { return t }
        throw Failure(why: "the checkpoint has no tensor \(name), which the plan wants")
    }
    let t = try find(recipe.tensor)
    if recipe.kind == "as_stored", b.dtype.hasPrefix("affine"), !b.dtype.hasSuffix("_zero") {
        // affineB_gG_S: levels, scales and biases of an MLX folder, group by group.
        let parts = b.dtype.dropFirst("affine".count).split(separator: "_")
        let base = String(recipe.tensor.dropLast("weight".count))
        let scales = try find(base + "scales"), biases = try find(base + "biases")
        guard parts.count == 3, let bits = Int(parts[0]), let group = Int(parts[1].dropFirst()), scales.elements > 0, biases.data.count == scales.data.count,
            scales.dtype == parts[2], biases.dtype == parts[2], t.data.count == scales.elements * bits * group / 8
        else { throw Failure(why: "\(recipe.tensor) and its scales and biases are no \(b.dtype)") }
        let levels = bits * group / 8, size = scales.data.count / scales.elements
        var out = Data(capacity: b.bytes)
        func slice(_ d: Data, _ i: Int, _ n: Int) -> Data { d[(d.startIndex + i * n)..<(d.startIndex + (i + 1) * n)] }
        for i in 0..<scales.elements {
            out.append(slice(scales.data, i, size))
            out.append(slice(biases.data, i, size))
            out.append(slice(t.data, i, levels))
        }
        return out
    }
    if recipe.kind == "as_stored", t.dtype == b.dtype { return t.data }
    if recipe.kind == "convert", let values = floats(t) { return try narrow(values, to: b.dtype) }
    throw Failure(why: "tensor \(recipe.tensor) is \(t.dtype); this driver does not make \(b.dtype) of it (\(recipe.kind))")
}

// ---- The GPU

final class Driver {
    let plan: Plan
    let queue: MTLCommandQueue
    var pipelines = [MTLComputePipelineState]()
    var buffers = [MTLBuffer]()
    let prefill, decode: Plan.Entry
    let short: [Plan.Entry]  // decode for short contexts, by p_max
    let step, ids, history: MTLBuffer

    init(_ dir: URL, _ weights: String) throws {
        let plan = try readPlan(dir)
        self.plan = plan
        let tensors = try readCheckpoint(weights)
        guard let device = MTLCreateSystemDefaultDevice(), let queue = device.makeCommandQueue() else { throw Failure(why: "there is no GPU for Metal here") }
        self.queue = queue
        let options = MTLCompileOptions()
        options.fastMathEnabled = false
        let version = plan.msl.split(separator: ".").compactMap { UInt($0) }
        guard version.count == 2, let language = MTLLanguageVersion(rawValue: version[0] << 16 | version[1]) else { throw Failure(why: "Metal's language \(plan.msl) is not known here") }
        options.languageVersion = language
        for k in plan.kernels {
            let text = try Data(contentsOf: dir.appendingPathComponent(k.file))
            if sha256(text) != k.sha256 { throw Failure(why: "\(k.file) has another hash than the plan says") }
            let library = try device.makeLibrary(source: String(decoding: text, as: UTF8.self), options: options)
            guard let function = library.makeFunction(name: k.name) else { throw Failure(why: "\(k.file) has no function \(k.name)") }
            pipelines.append(try device.makeComputePipelineState(function: function))
        }
        func allocate(_ bytes: Int) throws -> MTLBuffer {
            if let b = device.makeBuffer(length: max(bytes, 16), options: .storageModeShared) { return b }
            throw Failure(why: "the GPU has no memory for \(bytes) bytes")
        }
        let arena = try allocate(plan.arena_bytes)
        for b in plan.buffers {
            buffers.append(b.class == "transient" ? arena : try allocate(b.bytes))
            var content: Data?
            if let recipe = b.weight { content = try weight(b, recipe, tensors) }
            if let values = b.values { content = try narrow(values, to: b.dtype) }
            guard let content else { continue }
            if content.count != b.bytes { throw Failure(why: "weight \(b.name) has \(content.count) bytes, the plan wants \(b.bytes)") }
            content.withUnsafeBytes { buffers.last!.contents().copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        }
        let roles = Dictionary(uniqueKeysWithValues: plan.buffers.indices.compactMap { i in plan.buffers[i].role.map { ($0, i) } })
        guard let prefill = plan.entries.first(where: { $0.role == "prefill" }), let decode = plan.entries.first(where: { $0.role == "decode" && $0.p_max == nil }),
            let s = roles["step"], let i = roles["ids"], let h = roles["history"]
        else { throw Failure(why: "\(dir.path) holds no language model") }
        self.prefill = prefill
        self.decode = decode
        short = plan.entries.filter { $0.p_max != nil }.sorted { $0.p_max! < $1.p_max! }
        (step, ids, history) = (buffers[s], buffers[i], buffers[h])
        if let prepare = plan.prepare { try wait(submit(prepare, 1, 0)) }
    }

    // submit encodes runs of an entry, the second behind the first and so on, and returns
    // the last command buffer.
    func submit(_ entry: Plan.Entry, _ T: Int, _ P: Int, runs: Int = 1) throws -> MTLCommandBuffer {
        let whole = [Plan.Cut(first: 0, last: entry.steps.count)]
        var last: MTLCommandBuffer?
        for cut in runs == 1 ? entry.command_buffers : whole {
            guard let commands = queue.makeCommandBuffer(), let encoder = commands.makeComputeCommandEncoder(dispatchType: .concurrent) else { throw Failure(why: "the queue gives no command buffer") }
            for run in 0..<runs {
                if run > 0 { encoder.memoryBarrier(scope: .buffers) }
                for s in entry.steps[cut.first..<cut.last] {
                    guard let d = s.dispatch else {
                        encoder.memoryBarrier(scope: .buffers)
                        continue
                    }
                    let k = plan.kernels[d.kernel]
                    encoder.setComputePipelineState(pipelines[d.kernel])
                    for (i, b) in d.bind.enumerated() {  // a transient's own offset is that in the arena
                        encoder.setBuffer(buffers[b.buffer], offset: (plan.buffers[b.buffer].offset ?? 0) + (b.offset ?? 0), index: i)
                    }
                    for (i, a) in (k.threadgroup ?? []).enumerated() { encoder.setThreadgroupMemoryLength(a.bytes, index: i) }
                    let n = d.grid.map { (eval($0.n, T, P) + $0.div - 1) / $0.div }
                    encoder.dispatchThreadgroups(MTLSize(width: n[0], height: n[1], depth: n[2]),
                                                 threadsPerThreadgroup: MTLSize(width: k.threads[0], height: k.threads[1], depth: k.threads[2]))
                }
            }
            encoder.endEncoding()
            commands.commit()
            last = commands
        }
        guard let last else { throw Failure(why: "an entry without command buffers") }
        return last
    }

    // wait returns when a command buffer, and so all before it, has completed.
    func wait(_ commands: MTLCommandBuffer) throws {
        commands.waitUntilCompleted()
        if commands.status != .completed { throw Failure(why: "the GPU gave up: \(commands.error?.localizedDescription ?? "no reason given")") }
    }

    func check() throws {
        let s = step.contents().bindMemory(to: UInt32.self, capacity: 32)
        if s[4] != 0 { throw Failure(why: "the model stops with error \(s[4]), \(s[5])") }
    }

    // generate calls emit with each token behind the prompt, up to n, until an end id.
    func generate(_ prompt: [Int32], _ n: Int, emit: (Int32) -> Void) throws {
        for id in prompt where id < 0 || Int(id) >= plan.model.vocab { throw Failure(why: "token \(id) is outside the vocabulary of \(plan.model.vocab)") }
        if prompt.isEmpty || n < 1 || prompt.count + n - 1 > plan.model.context { throw Failure(why: "\(prompt.count) tokens and \(n) more do not fit the context of \(plan.model.context)") }
        for P in stride(from: 0, to: prompt.count, by: prefill.t_max) {
            let T = min(prefill.t_max, prompt.count - P)
            var words = [UInt32](repeating: 0, count: 32)
            (words[0], words[1], words[2]) = (UInt32(T), UInt32(P), UInt32(P + T))
            (words[8], words[10]) = (Float(1).bitPattern, Float(1).bitPattern)
            step.contents().copyMemory(from: words, byteCount: 128)
            ids.contents().copyMemory(from: Array(prompt[P..<(P + T)]), byteCount: 4 * T)
            try wait(submit(prefill, T, P))
            try check()
        }
        let tokens = history.contents().bindMemory(to: Int32.self, capacity: plan.model.context + 1)
        let ends = Set(plan.tokens?.ends ?? [])
        var submitted = 0, done = 1  // decode steps; tokens that are known
        var flying = [(MTLCommandBuffer, Int)]()
        func ahead() throws {
            let runs = min(decode.chain ?? 1, n - 1 - submitted)
            if runs < 1 { return }
            let last = prompt.count + submitted + runs - 1
            flying.append((try submit(short.first { $0.p_max! >= last } ?? decode, 1, prompt.count + submitted, runs: runs), runs))
            submitted += runs
        }
        defer { for (commands, _) in flying { commands.waitUntilCompleted() } }  // at most one was in vain
        try ahead()
        for i in 0..<n {
            if i == done {
                try ahead()  // the next is in flight before this one is waited for
                let (commands, runs) = flying.removeFirst()
                try wait(commands)
                try check()
                done += runs
            }
            let token = tokens[prompt.count + i]
            if ends.contains(token) { return }
            emit(token)
        }
    }
}

do {
    let arguments = CommandLine.arguments
    let numbers = arguments.dropFirst(3).map { Int32($0) }
    if arguments.count < 5 || numbers.contains(nil) { throw Failure(why: "usage: drive PLAN-DIR WEIGHTS N ID...") }
    let driver = try Driver(URL(fileURLWithPath: arguments[1]), arguments[2])
    var first = true
    try driver.generate(numbers.dropFirst().map { $0! }, Int(numbers.first!!)) { token in
        print(first ? "" : " ", token, separator: "", terminator: "")
        fflush(stdout)
        first = false
    }
    print()
} catch let failure as Failure {
    FileHandle.standardError.write(Data("drive: \(failure.why)\n".utf8))
    exit(1)
} catch {
    FileHandle.standardError.write(Data("drive: \(error.localizedDescription)\n".utf8))
    exit(1)
}
