import Engine
import Glibc

/// An operation of a closed socket that is to complete once more.
struct Late: BitwiseCopyable {
    var token: OperationToken
    var operation: Submission.Operation
    /// The exchange it comes in.
    var exchange: UInt64
}

// Completions that no kernel should send: of connections and UDP sockets that are closed, so that their owner must have gone on.
extension SimulatedDriver {
    /// May let an operation of a socket that is being closed complete again later.
    func addLatePerhaps(_ row: Socket) {
        guard network.random.chance(network.faults[.staleCompletion]) else { return }
        let isInput = row.kind == .datagramSocket || network.random.chance(0.5)
        let last = isInput ? row.input : row.output
        switch last.operation {
        case .receive, .send, .watch:
            let exchange = exchanges + UInt64(network.random.within(1...40))
            late.append(Late(token: last.token, operation: last.operation, exchange: exchange))
        default: return
        }
    }

    func deliverLate(_ completions: inout CompletionQueue) {
        late.removeAll { late in
            guard exchanges >= late.exchange, completions.room > 0 else { return false }
            completions.append(outcome(of: late))
            network.note(.staleCompletion)
            return true
        }
    }

    /// Anything that such an operation could have come to.
    private func outcome(of late: Late) -> Completion {
        let most = Int32(buffers.bufferSize)
        let errno = [ECANCELED, ECONNRESET, EPIPE, ENOBUFS][network.random.below(4)]
        switch (network.random.below(3), late.operation) {
        case (0, _): return Completion(token: late.token, result: -errno)
        case (1, .receive): return Completion(token: late.token, result: 0)
        case (_, .receive):
            guard let buffer = buffers.take() else { return Completion(token: late.token, result: 0) }
            return Completion(token: late.token, result: most, buffer: buffer, more: network.random.chance(0.5))
        case (_, .watch): return Completion(token: late.token, result: 1, more: network.random.chance(0.5))
        default: return Completion(token: late.token, result: most)
        }
    }
}
