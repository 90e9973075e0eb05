package import Addressing

extension EndpointGroup {
    /// Chooses an endpoint that is not in `tried`: its place in `endpoints`, or nil when none is left or `Tried.max` have been
    /// tried. Allocates nothing.
    ///
    /// - Parameters:
    ///   - client: the client's address, needed for `.clientIP` only (IPv4-mapped addresses count as IPv4).
    ///   - turn: the place in the round, moved on by `.roundRobin` only.
    ///   - connectionsActive: how many connections the endpoint at a place has open; asked by `.leastConnections` only, of two.
    ///   - passesOver: whether `isUsable` is to be asked at all.
    ///   - isUsable: whether the endpoint at a place is well. Others are chosen only when no such one is left.
    package func choose(
        client: IPAddress?, tried: Tried, turn: inout Turn, random: inout RandomSource, connectionsActive: (Int) -> Int,
        passesOver: Bool = false, isUsable: (Int) -> Bool = { _ in true }
    ) -> Int? {
        guard tried.count < Tried.max else { return nil }
        if passesOver {
            var (isAnyUsable, isAnyOther) = (false, false)
            for index in endpoints.indices where endpoints[index].weight > 0 && !tried.contains(endpoints[index]) {
                if isUsable(index) { isAnyUsable = true } else { isAnyOther = true }
            }
            if isAnyUsable, isAnyOther {
                return choose(
                    client: client, isFirst: tried.count == 0, isFree: false, turn: &turn, random: &random,
                    connectionsActive: connectionsActive, isLeft: { !tried.contains(endpoints[$0]) && isUsable($0) })
            }
        }
        return choose(
            client: client, isFirst: tried.count == 0, isFree: tried.count == 0, turn: &turn, random: &random,
            connectionsActive: connectionsActive, isLeft: { !tried.contains(endpoints[$0]) })
    }

    /// The same among those that are left; `isFree` says that all of them are.
    @inline(__always) private func choose(
        client: IPAddress?, isFirst: Bool, isFree: Bool, turn: inout Turn, random: inout RandomSource,
        connectionsActive: (Int) -> Int, isLeft: (Int) -> Bool
    ) -> Int? {
        switch selection {
        case .random:
            return chooseAtRandom(isFree: isFree, random: &random, isLeft: isLeft)
        case .roundRobin:
            // The next in turn would get all that its neighbour fails: what is tried again, or passed over, goes to any.
            guard isFirst, !isEmpty else { return chooseAtRandom(isFree: false, random: &random, isLeft: isLeft) }
            let next = weights.map { $0.turn(turn.take(of: $0.total)) } ?? turn.take(of: endpoints.count)
            return isFree || isLeft(next) ? next : chooseAtRandom(isFree: false, random: &random, isLeft: isLeft)
        case .leastConnections:
            guard let first = chooseAtRandom(isFree: isFree, random: &random, isLeft: isLeft) else { return nil }
            guard let second = chooseAtRandom(isFree: isFree, except: first, random: &random, isLeft: isLeft) else { return first }
            // Per weight, with the connection that is to come. Even ones: the first, which was drawn as well as the second.
            let load = (connectionsActive(first) + 1) * Int(endpoints[second].weight)
            return (connectionsActive(second) + 1) * Int(endpoints[first].weight) < load ? second : first
        case .clientIP:
            guard let client else { return chooseAtRandom(isFree: isFree, random: &random, isLeft: isLeft) }
            return chooseByRendezvous(client: client.unmapped, isLeft: isLeft)
        }
    }

    /// One by lot, by weight, that is left and is not `except`.
    private func chooseAtRandom(isFree: Bool, except: Int? = nil, random: inout RandomSource, isLeft: (Int) -> Bool) -> Int? {
        guard !isEmpty else { return nil }
        if isFree {
            guard let except else { return weights?.draw(&random) ?? random.below(endpoints.count) }
            if let weights {
                // Another one comes soon, unless one has nearly all the weight.
                for _ in 0..<4 {
                    let index = weights.draw(&random)
                    if index != except { return index }
                }
            } else {
                guard endpoints.count > 1 else { return nil }
                let ordinal = random.below(endpoints.count - 1)
                return ordinal < except ? ordinal : ordinal + 1
            }
        }
        var left = 0
        for index in endpoints.indices where index != except && isLeft(index) { left += Int(endpoints[index].weight) }
        guard left > 0 else { return nil }
        var ordinal = random.below(left)
        for index in endpoints.indices where index != except && isLeft(index) {
            ordinal -= Int(endpoints[index].weight)
            if ordinal < 0 { return index }
        }
        return nil
    }

    /// Highest random weight (Thaler and Ravishankar 1998): each endpoint scores by a hash of client, Service port and
    /// endpoint; the best wins. A removed endpoint moves only its own clients; ties go to the lower address.
    private func chooseByRendezvous(client: IPAddress, isLeft: (Int) -> Bool) -> Int? {
        let key = Mixer.hash(of: client) ^ identity
        guard weights == nil else { return chooseByWeightedRendezvous(key: key, isLeft: isLeft) }
        var best: Int?
        var bestHash: UInt64 = 0
        for index in endpoints.indices where isLeft(index) {
            let hash = Mixer.mix(key ^ endpoints[index].identity)
            if best == nil || hash > bestHash {
                best = index
                bestHash = hash
            }
        }
        return best
    }

    /// The same with weights: by the least of -ln(hash)/weight, an endpoint wins as often as its weight says, and a changed weight
    /// moves clients to or from that endpoint only. With equal weights it is the order of the hashes themselves.
    private func chooseByWeightedRendezvous(key: UInt64, isLeft: (Int) -> Bool) -> Int? {
        var best: Int?
        var bestHash: UInt64 = 0
        var bestScore = Double.infinity
        for index in endpoints.indices where endpoints[index].weight > 0 && isLeft(index) {
            let hash = Mixer.mix(key ^ endpoints[index].identity)
            let score = Mixer.negativeLogarithm(hash) / Double(endpoints[index].weight)
            if score < bestScore || score == bestScore && hash > bestHash {
                best = index
                bestHash = hash
                bestScore = score
            }
        }
        return best
    }
}
