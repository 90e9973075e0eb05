import Engine
import Glibc

/// A simulated pipe: the bytes a transfer has read and not yet delivered.
struct SimulatedPipe: BitwiseCopyable {
    var head: UInt32
    var count: UInt32
    var isTaken: Bool
}

// Transfers: the same turns as in a kernel driver, over pipes of bounded number and size.
extension SimulatedDriver {
    func armTransfer(_ index: Int, _ submission: Submission) {
        guard isCurrent(submission.destination) else { return breach("transfer to a socket that is not open") }
        let destination = Int(submission.destination.index)
        let source = sockets[index]
        let target = sockets[destination]
        guard source.kind == .stream, target.kind == .stream, index != destination else {
            return breach("transfer from a \(source.kind) to a \(target.kind)")
        }
        guard source.input.state == .none else { return breach("transfer while a \(source.input.operation) is pending") }
        guard target.output.state == .none else { return breach("transfer to a socket while a \(target.output.operation) is pending") }
        guard !target.isWriteShut else { return breach("transfer after shutdownWrite") }
        let pending = Pending(state: .armed, operation: .transfer, token: submission.token)
        sockets[index].input = pending
        sockets[index].destination = UInt32(destination)
        sockets[index].pipe = Self.noPipe
        sockets[destination].output = pending
        sockets[destination].feeder = UInt32(index)
        network.markReady(UInt32(index))
    }

    /// One turn: reads into a pipe and delivers at once, until something is in the way or the turn is over.
    func performTransfer(_ source: UInt32) {
        let from = sockets[Int(source)].place
        let to = sockets[Int(sockets[Int(source)].destination)].place
        let token = sockets[Int(source)].input.token
        var moved = 0
        func tell() {
            if moved > 0 { post(Completion(token: token, result: Int32(moved), more: true), socket: source, ends: .nothing) }
        }
        while true {
            if sockets[Int(source)].pipe != Self.noPipe {
                switch network.writable(to) {
                case .full: return tell()
                case .failed(let errno):
                    tell()
                    return endTransfer(source, -errno, isDestination: true)
                case .room(let room):
                    moved += drain(source, to, room)
                    continue
                }
            }
            if moved >= settings.transferTurnBytes { return endTransfer(source, Int32(moved)) }
            switch network.readable(from) {
            case .nothing:
                if moved > 0 { endTransfer(source, Int32(moved)) }
                return
            case .ended:
                tell()
                return endTransfer(source, 0)
            case .failed(let errno):
                tell()
                return endTransfer(source, -errno)
            case .bytes(let available):
                if network.happens(.transferInterrupted) { return endTransfer(source, moved > 0 ? Int32(moved) : -EINTR) }
                guard !network.happens(.noPipe), let pipe = takePipe() else {
                    return endTransfer(source, moved > 0 ? Int32(moved) : -EAGAIN)
                }
                sockets[Int(source)].pipe = pipe
                fill(pipe, from, available)
            }
        }
    }

    private func takePipe() -> UInt16? {
        for index in 0..<settings.pipes where !pipes[index].isTaken {
            if pipes[index].count != 0 { breach("a pipe was pooled with bytes in it") }
            pipes[index] = SimulatedPipe(head: 0, count: 0, isTaken: true)
            return UInt16(index)
        }
        network.note(.pipesRanOut)
        return nil
    }

    private func fill(_ pipe: UInt16, _ from: UInt32, _ available: Int) {
        var count = min(available, settings.pipeBytes)
        if count > 1, network.happens(.shortSplice) { count = 1 + network.random.below(count - 1) }
        let base = Int(pipe) * settings.pipeBytes
        network.read(from, count: count) { position, offset, length in
            for step in 0..<length { pipeBytes[base + offset + step] = network.arena[position + step] }
        }
        pipes[Int(pipe)].count = UInt32(count)
    }

    private func drain(_ source: UInt32, _ to: UInt32, _ room: Int) -> Int {
        let pipe = Int(sockets[Int(source)].pipe)
        var count = min(Int(pipes[pipe].count), room)
        if count > 1, network.happens(.shortSplice) { count = 1 + network.random.below(count - 1) }
        let base = pipe * settings.pipeBytes + Int(pipes[pipe].head)
        network.write(to, count: count) { position, offset, length in
            for step in 0..<length { network.arena[position + step] = pipeBytes[base + offset + step] }
        }
        pipes[pipe].head += UInt32(count)
        pipes[pipe].count -= UInt32(count)
        bytesTransferred += UInt64(count)
        if pipes[pipe].count == 0 { releasePipe(source) }
        return count
    }

    /// The end of a transfer. What is still in its pipe is lost with it, and the caller was told so: by an errno.
    func endTransfer(_ source: UInt32, _ result: Int32, isDestination: Bool = false) {
        let pipe = sockets[Int(source)].pipe
        if pipe != Self.noPipe {
            if result >= 0 { breach("a transfer ended well with bytes in its pipe") }
            pipes[Int(pipe)].count = 0
            releasePipe(source)
            if result == -ECANCELED { transfersCancelledWithBytes += 1 }
        }
        let token = sockets[Int(source)].input.token
        post(Completion(token: token, result: result, isDestination: isDestination), socket: source, ends: .transfer)
    }

    private func releasePipe(_ source: UInt32) {
        pipes[Int(sockets[Int(source)].pipe)].isTaken = false
        sockets[Int(source)].pipe = Self.noPipe
    }

    static let noPipe = UInt16.max
}
