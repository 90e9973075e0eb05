import Engine
import Glibc

/// An operation of a closed socket that is to complete once more.
struct Late: BitwiseCopyable {
    var token: OperationToken
    var isReceive: Bool
    /// The exchange it comes in.
    var exchange: UInt64
}

// Completions that no kernel should send: of connections that are closed, so that their owner must have gone on.
extension SimulatedDriver {
    /// Lets an operation of a socket that is being closed complete again later.
    func addLate(_ row: Socket) {
        let isReceive = network.random.chance(0.5)
        let last = isReceive ? row.input : row.output
        guard last.operation == (isReceive ? .receive : .send) else { return }
        late.append(Late(token: last.token, isReceive: isReceive, exchange: exchanges + UInt64(network.random.within(1...40))))
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
        switch network.random.below(3) {
        case 0: return Completion(token: late.token, result: -errno)
        case 1 where late.isReceive: return Completion(token: late.token, result: 0)
        default:
            guard late.isReceive else { return Completion(token: late.token, result: most) }
            guard let buffer = buffers.take() else { return Completion(token: late.token, result: 0) }
            return Completion(token: late.token, result: most, buffer: buffer, more: network.random.chance(0.5))
        }
    }
}
