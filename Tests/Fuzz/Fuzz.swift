import Foundation

/// What is tried with inputs that nobody would write. A new one is a file with a type of this kind, a line in `all`, and a folder of
/// first inputs, `Tests/Fuzz/corpus/NAME`.
protocol FuzzTarget: SendableMetatype {
    /// The name of its folder, and what `Scripts/fuzz` calls it.
    static var name: String { get }

    /// Plays one input, from the beginning each time, and gives what is wrong. A trap is wrong in any case.
    static func play(_ bytes: [UInt8]) -> [String]

    /// An input near to this one, and one made of two; nil where libFuzzer may do it, which knows bytes alone.
    static func changed(_ bytes: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]?
    static func crossed(_ left: [UInt8], _ right: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]?
}

extension FuzzTarget {
    static func changed(_ bytes: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]? { nil }
    static func crossed(_ left: [UInt8], _ right: [UInt8], lengthMax: Int, seed: UInt64) -> [UInt8]? { nil }
}

/// All targets are one program: `Scripts/fuzz` builds it with libFuzzer and names the target in the environment. Built like anything else
/// it plays files and ends.
enum Fuzz {
    static let all: [any FuzzTarget.Type] = [ManifestFuzzing.self, DNSFuzzing.self]

    static func target(named name: String?) -> (any FuzzTarget.Type)? { all.first { $0.name == name } }

    /// True where nothing is wrong; what is, stands on standard error.
    static func plays(_ target: any FuzzTarget.Type, _ bytes: [UInt8]) -> Bool {
        let findings = target.play(bytes)
        for finding in findings { FileHandle.standardError.write(Data("\(target.name): \(finding)\n".utf8)) }
        return findings.isEmpty
    }
}

#if FUZZING

private let chosen = Fuzz.target(named: ProcessInfo.processInfo.environment["FUZZ_TARGET"])

/// What libFuzzer calls, with its own `main`, for each input. It takes a trap for a finding, and keeps the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func playOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let chosen else { fatalError("FUZZ_TARGET names none of \(Fuzz.all.map { $0.name })") }
    let input = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    if !Fuzz.plays(chosen, input) { fatalError("see above") }
    return 0
}

@_cdecl("LLVMFuzzerCustomMutator")
public func changeOneInput(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ countMax: Int, _ seed: UInt32) -> Int {
    let room = unsafe UnsafeMutableBufferPointer(start: bytes, count: countMax)
    // By turns: bytes and the words of the dictionary are libFuzzer's.
    guard seed % 3 > 0, let next = unsafe chosen?.changed(Array(room.prefix(count)), lengthMax: countMax, seed: UInt64(seed)) else {
        return unsafe changeBytes(bytes, count, countMax)
    }
    return unsafe room.update(fromContentsOf: next)
}

@_cdecl("LLVMFuzzerCustomCrossOver")
public func crossTwoInputs(
    _ left: UnsafePointer<UInt8>, _ leftCount: Int, _ right: UnsafePointer<UInt8>, _ rightCount: Int, _ out: UnsafeMutablePointer<UInt8>,
    _ countMax: Int, _ seed: UInt32
) -> Int {
    let first = unsafe Array(UnsafeBufferPointer(start: left, count: leftCount))
    let second = unsafe Array(UnsafeBufferPointer(start: right, count: rightCount))
    let next = chosen?.crossed(first, second, lengthMax: countMax, seed: UInt64(seed))
    return unsafe UnsafeMutableBufferPointer(start: out, count: countMax).update(fromContentsOf: next ?? Array(first.prefix(countMax)))
}

@_silgen_name("LLVMFuzzerMutate")
private func changeBytes(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ countMax: Int) -> Int

#else

@main
struct Replay {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard let target = Fuzz.target(named: arguments.first), arguments.count > 1 else {
            FileHandle.standardError.write(Data("Fuzz TARGET FILE…, of the targets \(Fuzz.all.map { $0.name })\n".utf8))
            exit(2)
        }
        var isRight = true
        for path in arguments.dropFirst() {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                FileHandle.standardError.write(Data("can't read \(path)\n".utf8))
                exit(2)
            }
            if !Fuzz.plays(target, Array(bytes)) {
                print("\(path): see above")
                isRight = false
            }
        }
        exit(isRight ? 0 : 1)
    }
}

#endif
