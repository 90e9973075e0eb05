import Addressing
import Engine
import Glibc

// What the operations do, and what callers must not do with them.
extension SimulatedDriver {
    func submit(_ submission: Submission) {
        let name = submission.operation
        guard isCurrent(submission.socket) else { return breach("\(name) on a socket that is not open") }
        let index = Int(submission.socket.index)
        switch name {
        case .shutdownWrite, .close, .closeWithReset: break
        default:
            if submission.token.kind >= OperationToken.reservedKinds { breach("\(name) with a kind that is the engine's own") }
        }
        switch name {
        case .accept, .acceptOne, .receive: armInput(index, submission)
        case .connect: connect(index, submission)
        case .send: armSend(index, submission)
        case .transfer: armTransfer(index, submission)
        case .watch: armWatch(index, submission)
        case .cancel: cancel(submission.token, on: index)
        case .shutdownWrite: shutdownWrite(index)
        case .close, .closeWithReset: close(index, withReset: name == .closeWithReset)
        }
    }

    // MARK: - Arming

    private func armInput(_ index: Int, _ submission: Submission) {
        let row = sockets[index]
        let fits = submission.operation == .receive ? row.kind == .stream : row.kind == .listener
        guard fits else { return breach("\(submission.operation) on a socket of kind \(row.kind)") }
        guard row.input.state == .none else { return breach("\(submission.operation) while a \(row.input.operation) is pending") }
        if submission.isResting { receivesRested &+= 1 }
        sockets[index].input = Pending(state: .armed, operation: submission.operation, token: submission.token)
        network.markReady(UInt32(index))
    }

    private func connect(_ index: Int, _ submission: Submission) {
        let row = sockets[index]
        guard row.kind == .fresh, row.output.state == .none, let address = submission.address else {
            return breach("connect of a socket that is no fresh stream")
        }
        sockets[index].output = Pending(state: .armed, operation: .connect, token: submission.token)
        guard address.address.family == row.family else {
            return post(Completion(token: submission.token, result: -EAFNOSUPPORT), socket: UInt32(index), ends: .output)
        }
        let local = localAddress(index)
        if network.happens(.connectNoSourcePort) {
            return post(Completion(token: submission.token, result: -EADDRNOTAVAIL), socket: UInt32(index), ends: .output)
        }
        if network.happens(.connectNoMemory) {
            return post(Completion(token: submission.token, result: -either(ENOBUFS, ENOMEM)), socket: UInt32(index), ends: .output)
        }
        guard network.hasPort(from: local.address, to: address),
            let end = network.connect(.socket, UInt32(index), from: local, to: address)
        else {
            return post(Completion(token: submission.token, result: -EADDRNOTAVAIL), socket: UInt32(index), ends: .output)
        }
        sockets[index].place = end
    }

    /// What a kernel would choose: the address it was bound to or loopback, and a port of its own.
    private func localAddress(_ index: Int) -> SocketAddress {
        let address = sockets[index].family == .ipv4 ? IPAddress.loopbackIPv4 : .loopbackIPv6
        return SocketAddress(sockets[index].source ?? address, PortNumber(20_000 + index % 40_000)!)
    }

    private func armSend(_ index: Int, _ submission: Submission) {
        let row = sockets[index]
        guard row.kind == .stream else { return breach("send on a socket of kind \(row.kind)") }
        guard row.output.state == .none else { return breach("send while a \(row.output.operation) is pending") }
        guard !row.isWriteShut else { return breach("send after shutdownWrite") }
        guard (1...ByteQueue.gatherMax).contains(submission.bufferCount) else {
            return breach("send of \(submission.bufferCount) buffers")
        }
        var buffer = submission.buffer
        for position in 0..<Int(submission.bufferCount) {
            guard Int(buffer.rawValue) < buffers.capacity, buffers.unsentCount(of: buffer) > 0 else {
                return breach("send of a chain with an empty or a missing buffer")
            }
            if bufferUses[Int(buffer.rawValue)] != .none { breach("send of buffer \(buffer.rawValue), which is the driver's") }
            sendBuffers[index * Int(ByteQueue.gatherMax) + position] = buffer
            buffer = buffers.next(after: buffer)
        }
        for position in 0..<Int(submission.bufferCount) {
            bufferUses[Int(sendBuffers[index * Int(ByteQueue.gatherMax) + position].rawValue)] = .sending
        }
        sockets[index].sendCount = submission.bufferCount
        sockets[index].sendDigest = sendDigest(index)
        sockets[index].output = Pending(state: .armed, operation: .send, token: submission.token)
        network.markReady(UInt32(index))
    }

    private func sendDigest(_ index: Int) -> UInt64 {
        var state: UInt64 = 0
        for position in 0..<Int(sockets[index].sendCount) {
            let digest = buffers.digest(of: sendBuffers[index * Int(ByteQueue.gatherMax) + position])
            state = (state ^ digest) &* 0x9e37_79b9_7f4a_7c15
        }
        return state
    }

    /// The send's completion goes out: its buffers must be as they were, and are the caller's again.
    func endSend(_ index: Int) {
        if sendDigest(index) != sockets[index].sendDigest { breach("the buffers of a pending send were changed") }
        for position in 0..<Int(sockets[index].sendCount) {
            bufferUses[Int(sendBuffers[index * Int(ByteQueue.gatherMax) + position].rawValue)] = .none
        }
    }

    // MARK: - Ending

    private func cancel(_ token: OperationToken, on index: Int) {
        let row = sockets[index]
        let isInput = row.input.state == .armed && row.input.token == token
        let isOutput = row.output.state == .armed && row.output.token == token
        // Otherwise it was faster: its completion is on the way, or was taken already.
        guard isInput || isOutput else { return }
        if network.happens(.cancelRace) { perform(UInt32(index)) }
        if isInput, sockets[index].input.state == .armed, row.input.operation == .transfer {
            endTransfer(UInt32(index), -ECANCELED)
        } else if isInput, sockets[index].input.state == .armed {
            post(Completion(token: token, result: -ECANCELED), socket: UInt32(index), ends: .input)
        }
        if isOutput, sockets[index].output.state == .armed {
            post(Completion(token: token, result: -ECANCELED), socket: UInt32(index), ends: .output)
            abandonConnect(index)
        }
    }

    private func shutdownWrite(_ index: Int) {
        guard sockets[index].kind == .stream else { return breach("shutdownWrite of a socket of kind \(sockets[index].kind)") }
        if sockets[index].output.state != .none { breach("shutdownWrite with a send pending") }
        sockets[index].isWriteShut = true
        network.shutdownWrite(sockets[index].place)
    }

    private func close(_ index: Int, withReset: Bool) {
        let row = sockets[index]
        if row.input.state != .none { breach("close while a \(row.input.operation) is pending") }
        if row.output.state != .none { breach("close while a \(row.output.operation) is pending") }
        switch row.kind {
        case .closed: break
        case .fresh: abandonConnect(index)
        case .listener: network.closeListener(Int(row.place))
        case .datagramListener: network.closeDatagramSocket(Int(row.place))
        case .datagramSocket:
            network.closeDatagramSocket(Int(row.place))
            addLatePerhaps(row)
        case .stream:
            network.close(row.place, withReset: withReset)
            // Only where the caller has closed the accepted socket is nothing left of its connection.
            if row.isAccepted { addLatePerhaps(row) }
        }
        retire(index)
    }

    /// Lets go of an attempt to connect that is under way.
    private func abandonConnect(_ index: Int) {
        guard sockets[index].kind == .fresh, sockets[index].place != SimulatedNetwork.noEnd else { return }
        network.close(sockets[index].place, withReset: true)
        sockets[index].place = SimulatedNetwork.noEnd
    }

    // MARK: - Doing

    /// Does what a socket's pending operations can do now.
    func perform(_ index: UInt32) {
        let row = sockets[Int(index)]
        switch row.kind {
        case .closed: return
        case .listener: performAccepts(index)
        case .fresh: if row.output.state == .armed { performConnect(index) }
        case .datagramListener, .datagramSocket: if row.input.state == .armed { performWatch(index) }
        case .stream:
            breakPerhaps(row)
            if row.input.state == .armed {
                if row.input.operation == .transfer { performTransfer(index) } else { performReceives(index) }
            }
            let output = sockets[Int(index)].output
            guard output.state == .armed else { return }
            if output.operation == .transfer { performTransfer(sockets[Int(index)].feeder) } else { performSend(index) }
        }
    }

    private func breakPerhaps(_ row: Socket) {
        guard row.input.state == .armed || row.output.state == .armed else { return }
        if network.happens(.connectionReset) { network.breakConnection(row.place) }
    }

    private func performAccepts(_ index: UInt32) {
        let listener = Int(sockets[Int(index)].place)
        for _ in 0..<Self.batchMax {
            let input = sockets[Int(index)].input
            guard input.state == .armed else { return }
            let opened = accept(listener)
            if opened.error == EAGAIN { return }
            let more = opened.error == 0 && input.operation == .accept && !network.happens(.acceptEnded)
            let completion = Completion(token: input.token, result: -opened.error, more: more, socket: opened.socket)
            post(completion, socket: index, ends: more ? .nothing : .input)
        }
        network.markReady(index)
    }

    private func performConnect(_ index: UInt32) {
        guard sockets[Int(index)].place != SimulatedNetwork.noEnd else { return }
        let token = sockets[Int(index)].output.token
        switch network.connectState(sockets[Int(index)].place) {
        case .pending: return
        case .failed(let errno):
            abandonConnect(Int(index))
            post(Completion(token: token, result: -errno), socket: index, ends: .output)
        case .done:
            sockets[Int(index)].kind = .stream
            post(Completion(token: token, result: 0), socket: index, ends: .output)
        }
    }

    private func performReceives(_ index: UInt32) {
        let end = sockets[Int(index)].place
        let token = sockets[Int(index)].input.token
        func finish(_ result: Int32) { post(Completion(token: token, result: result), socket: index, ends: .input) }
        for _ in 0..<Self.batchMax {
            switch network.readable(end) {
            case .nothing: return
            case .ended: return finish(0)
            case .failed(let errno): return finish(-errno)
            case .bytes(let available):
                if let errno = receiveError() { return finish(-errno) }
                guard let buffer = buffers.take() else {
                    network.note(.buffersRanOut)
                    return finish(-ENOBUFS)
                }
                var count = min(available, buffers.bufferSize)
                if count > 1, network.happens(.shortReceive) { count = 1 + network.random.below(count - 1) }
                network.read(end, count: count) { position, offset, length in
                    buffers.fill(buffer, at: offset, from: network.arena, at: position, count: length)
                }
                if bufferUses[Int(buffer.rawValue)] != .none { breach("buffer \(buffer.rawValue) was released while it was the driver's") }
                bufferUses[Int(buffer.rawValue)] = .received
                let more = !network.happens(.receiveEnded)
                let completion = Completion(token: token, result: Int32(count), buffer: buffer, more: more)
                post(completion, socket: index, ends: more ? .nothing : .input)
                if !more { return }
            }
        }
        network.markReady(index)
    }

    /// What a receive that could have bytes ends with in their place.
    private func receiveError() -> Int32? {
        if network.happens(.receiveNoBuffers) { return ENOBUFS }
        if network.happens(.receiveNoMemory) { return ENOMEM }
        if network.happens(.receiveInterrupted) { return EINTR }
        return network.happens(.receiveAgain) ? EAGAIN : nil
    }

    private func sendError() -> Int32? {
        if network.happens(.sendNoMemory) { return either(ENOBUFS, ENOMEM) }
        if network.happens(.sendInterrupted) { return EINTR }
        return network.happens(.sendAgain) ? EAGAIN : nil
    }

    private func performSend(_ index: UInt32) {
        let row = sockets[Int(index)]
        let token = row.output.token
        switch network.writable(row.place) {
        case .full: return
        case .failed(let errno): post(Completion(token: token, result: -errno), socket: index, ends: .output)
        case .room(let room):
            if let errno = sendError() { return post(Completion(token: token, result: -errno), socket: index, ends: .output) }
            var total = 0
            let first = Int(index) * Int(ByteQueue.gatherMax)
            for position in 0..<Int(row.sendCount) { total += buffers.unsentCount(of: sendBuffers[first + position]) }
            var count = min(total, room)
            if count > 1, network.happens(.shortSend) { count = 1 + network.random.below(count - 1) }
            // Stretches of the pipe and buffers of the chain need not begin at the same bytes.
            var position = first
            var skipped = 0
            network.write(row.place, count: count) { place, _, length in
                var done = 0
                while done < length {
                    let unsent = buffers.unsentCount(of: sendBuffers[position])
                    let part = min(length - done, unsent - skipped)
                    buffers.copyUnsent(
                        of: sendBuffers[position], skipping: skipped, count: part, to: &network.arena, at: place + done)
                    done += part
                    skipped += part
                    if skipped == unsent {
                        position += 1
                        skipped = 0
                    }
                }
            }
            post(Completion(token: token, result: Int32(count)), socket: index, ends: .output)
        }
    }
}
