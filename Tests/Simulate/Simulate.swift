import Dispatch
import Foundation
import Synchronization

/// Plays simulated runs, from seeds, on all CPUs, and says how often each fault happened: `Scripts/simulate` builds and starts it.
///
/// A run is played in a child process, one for each CPU, so that a trap ends no more than the seed that it belongs to, which is known
/// by it. The children say a line for each seed.
@main
struct Simulate {
    static let usage = """
        Simulate [--seeds N] [--from K] [--small] [--jobs N]
          --seeds N   as many runs (10000)
          --from K    the first seed (1)
          --small     runs of at most 40 connections, in place of 220 to 400
          --client N  tell all that is known of a client at the end of its run
          --crowds    in place of them, tens of thousands of connections at once, in one situation each
          --jobs N    as many at a time (the number of CPUs)
        """
    /// After so many runs with findings a child stops: it has said enough.
    private static let failuresMax = 5
    /// Of so many runs each fault is expected in one at least.
    private static let seedsForEveryFault = 200

    private var seeds: UInt64 = 10_000
    private var from: UInt64 = 1
    private var jobs = ProcessInfo.processInfo.activeProcessorCount
    private var size = Scenario.Size.large
    private var playsCrowds = false
    private var client: Int?
    /// Set in a child: every so many seeds are its own.
    private var stride: UInt64?

    static func main() {
        var simulate = Simulate()
        guard simulate.read(CommandLine.arguments.dropFirst()) else {
            FileHandle.standardError.write(Data("\(usage)\n".utf8))
            exit(2)
        }
        if simulate.playsCrowds { exit(playCrowds() ? 0 : 1) }
        if let stride = simulate.stride { simulate.play(by: stride) } else { exit(simulate.playAll() ? 0 : 1) }
    }

    private mutating func read(_ arguments: ArraySlice<String>) -> Bool {
        var rest = arguments
        while let name = rest.popFirst() {
            switch name {
            case "--small":
                size = .small
                continue
            case "--crowds":
                playsCrowds = true
                continue
            default: break
            }
            guard let value = rest.popFirst().flatMap({ UInt64($0) }), value > 0 else { return false }
            switch name {
            case "--seeds": seeds = value
            case "--from": from = value
            case "--client": client = Int(value)
            case "--jobs": jobs = Int(value)
            case "--stride": stride = value
            default: return false
            }
        }
        return true
    }

    private static func playCrowds() -> Bool {
        var isRight = true
        for scene in Crowd.Scene.allCases {
            let findings = Crowd.play(scene)
            print("\(scene) of \(scene.connections) connections: \(findings.isEmpty ? "as it should be" : "failed")")
            for finding in findings.prefix(4) { complain(finding) }
            if !findings.isEmpty { isRight = false }
        }
        return isRight
    }

    // MARK: - A child

    /// Says what is wrong at once, and at the end of each run what it came to.
    private func play(by stride: UInt64) {
        var failed = 0
        for seed in Swift.stride(from: from, to: from + seeds, by: Int(stride)) where failed < Self.failuresMax {
            var scenario = Scenario(seed: seed, size: size)
            var datagrams = DatagramScenario(seed: seed)
            let findings = scenario.play() + datagrams.play()
            for finding in findings.prefix(4) { Self.complain("seed \(seed): \(finding)") }
            if let client { scenario.describe(client) }
            if !findings.isEmpty { failed += 1 }
            // Unbuffered: what has been played must be known when the next seed traps.
            FileHandle.standardOutput.write(Data("\(Tally(scenario, datagrams).line)\n".utf8))
        }
        if failed > 0 { exit(1) }
    }

    private static func complain(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

    // MARK: - The parent

    /// True where nothing is wrong.
    private func playAll() -> Bool {
        let sum = Mutex(Tally())
        // Started here and not by the threads that read, whose priority is not what `nice` has given us.
        let children = (0..<min(jobs, Int(seeds))).map { Child(of: self, from + UInt64($0), by: min(jobs, Int(seeds))) }
        DispatchQueue.concurrentPerform(iterations: children.count) { number in
            let tally = children[number].finish()
            sum.withLock { $0.add(tally) }
        }
        let tally = sum.withLock { $0 }
        print(tally.table)
        var isRight = tally.runs == Int(seeds) && tally.failed == 0
        if size == .large, seeds >= Self.seedsForEveryFault, !tally.missing.isEmpty {
            print("never happened: \(tally.missing.joined(separator: ", "))")
            isRight = false
        }
        print(isRight ? "no leak, no lost or doubled byte, no stuck flow" : "failed")
        return isRight
    }

    /// A process that plays a share of the seeds.
    // Safety: each is used by one thread at a time.
    private final class Child: @unchecked Sendable {
        private let process = Process()
        private let output = Pipe()
        private let first: UInt64
        private let stride: Int

        init(of simulate: Simulate, _ first: UInt64, by stride: Int) {
            self.first = first
            self.stride = stride
            let count = simulate.from + simulate.seeds - first
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = ["--from", "\(first)", "--seeds", "\(count)", "--stride", "\(stride)"]
            if simulate.size == .small { process.arguments?.append("--small") }
            if let client = simulate.client { process.arguments? += ["--client", "\(client)"] }
            process.standardOutput = output
            do { try process.run() } catch { fatalError("can't start a process for seeds: \(error)") }
        }

        func finish() -> Tally {
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            var tally = Tally()
            for line in text.split(separator: "\n") {
                if let run = Tally(line: line) { tally.add(run) } else { print(line) }
            }
            if process.terminationReason != .exit {
                Simulate.complain("seed \(first + UInt64(tally.runs * stride)): trapped (signal \(process.terminationStatus))")
            }
            if process.terminationStatus != 0 { tally.failed += 1 }
            return tally
        }
    }
}
