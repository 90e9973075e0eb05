internal import Dispatch
internal import Synchronization

/// Where log lines go: a bounded buffer, and a queue that writes it out. Nobody who logs waits for a pipe that nobody reads or a disk
/// that doesn't answer; what has no room is dropped, counted, and said as soon as something can be written again.
final class LogSink: Sendable {
    /// Bytes that may wait to be written; as many again may be under way.
    static let bytesMax = 4 << 20
    /// The same for lines about connections: the last quarter is for what the program says about itself.
    static let connectionBytesMax = 3 << 20

    private struct State {
        var waiting: [UInt8] = []
        var dropped = 0
        var isWriting = false
    }

    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "log")
    private let format: LogFormat
    private let output: @Sendable ([UInt8]) -> Bool

    /// - Parameter output: writes all of it, however long that takes; false where it could not.
    init(format: LogFormat, output: @escaping @Sendable ([UInt8]) -> Bool = { Host.write($0, to: .error) }) {
        self.format = format
        self.output = output
    }

    /// Leaves a line to be written; false where there was no room for it.
    @discardableResult
    func write(_ line: LogLine, within bytesMax: Int = LogSink.bytesMax) -> Bool {
        let text = line.text(as: format).utf8
        let (isTaken, begins) = state.withLock { state in
            guard state.waiting.count + text.count < bytesMax else {
                state.dropped += 1
                return (false, false)
            }
            state.waiting += text
            state.waiting.append(0x0a)
            defer { state.isWriting = true }
            return (true, !state.isWriting)
        }
        if begins { queue.async { self.writeOut() } }
        return isTaken
    }

    private func writeOut() {
        while true {
            let bytes = state.withLock { state in
                defer {
                    state.isWriting = !state.waiting.isEmpty
                    state.waiting = []
                }
                return state.waiting
            }
            if bytes.isEmpty { return }
            if write(bytes, lines: bytes.count { $0 == 0x0a }) { sayWhatWasDropped() }
        }
    }

    private func sayWhatWasDropped() {
        let dropped = state.withLock { state in
            defer { state.dropped = 0 }
            return state.dropped
        }
        guard dropped > 0 else { return }
        let line = LogLine(
            microseconds: Host.wallClockMicroseconds, level: "warning",
            message: "log lines were dropped: they could not be written in time",
            fields: [("lines", "\(dropped)")])
        write(Array((line.text(as: format) + "\n").utf8), lines: dropped)
    }

    @discardableResult
    private func write(_ bytes: [UInt8], lines: @autoclosure () -> Int) -> Bool {
        if output(bytes) { return true }
        // A full disk: what is lost is said when there is room again.
        let lost = lines()
        state.withLock { $0.dropped += lost }
        return false
    }

    /// Waits until what was left so far is written, for a second at most: a log that nobody reads may not hold up an end.
    func flush() {
        let written = DispatchSemaphore(value: 0)
        queue.async { written.signal() }
        _ = written.wait(timeout: .now() + .seconds(1))
    }
}
