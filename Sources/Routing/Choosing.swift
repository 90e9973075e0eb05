package import Addressing

extension EndpointGroup {
    /// Chooses an endpoint that is not in `tried`: its place in `endpoints`, or nil when none is left or `Tried.max` have been
    /// tried. Allocates nothing.
    ///
    /// - Parameters:
    ///   - client: the client's address, needed for `.clientIP` only (IPv4-mapped addresses count as IPv4).
    ///   - turn: the place in the round, moved on by `.roundRobin` only.
    ///   - connectionsActive: how many connections the endpoint at a place has open; asked by `.leastConnections` only, of two.
    package func choose(
        client: IPAddress?, tried: Tried, turn: inout Turn, random: inout RandomSource, connectionsActive: (Int) -> Int
    ) -> Int? {
        guard tried.count < Tried.max else { return nil }
        switch selection {
        case .random:
            return chooseAtRandom(tried: tried, random: &random)
        case .roundRobin:
            // The next in turn would get all that its neighbour fails: what is tried again goes to any.
            guard tried.count == 0, !isEmpty else { return chooseAtRandom(tried: tried, random: &random) }
            guard let weights else { return turn.take(of: endpoints.count) }
            return weights.turn(turn.take(of: weights.total))
        case .leastConnections:
            guard let first = chooseAtRandom(tried: tried, random: &random) else { return nil }
            guard let second = chooseAtRandom(tried: tried, except: first, random: &random) else { return first }
            // Per weight, with the connection that is to come. Even ones: the first, which was drawn as well as the second.
            let load = (connectionsActive(first) + 1) * Int(endpoints[second].weight)
            return (connectionsActive(second) + 1) * Int(endpoints[first].weight) < load ? second : first
        case .clientIP:
            guard let client else { return chooseAtRandom(tried: tried, random: &random) }
            return chooseByRendezvous(client: client.unmapped, tried: tried)
        }
    }

    /// One by lot, by weight, that is neither in `tried` nor `except`.
    private func chooseAtRandom(tried: Tried, except: Int? = nil, random: inout RandomSource) -> Int? {
        guard !isEmpty else { return nil }
        if tried.count == 0 {
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
        for index in endpoints.indices where index != except && !tried.contains(endpoints[index]) { left += Int(endpoints[index].weight) }
        guard left > 0 else { return nil }
        var ordinal = random.below(left)
        for index in endpoints.indices where index != except && !tried.contains(endpoints[index]) {
            ordinal -= Int(endpoints[index].weight)
            if ordinal < 0 { return index }
        }
        return nil
    }

    /// Highest random weight (Thaler and Ravishankar 1998): each endpoint scores by a hash of client, Service port and
    /// endpoint; the best wins. A removed endpoint moves only its own clients; ties go to the lower address.
    private func chooseByRendezvous(client: IPAddress, tried: Tried) -> Int? {
        let key = Mixer.hash(of: client) ^ identity
        guard weights == nil else { return chooseByWeightedRendezvous(key: key, tried: tried) }
        var best: Int?
        var bestHash: UInt64 = 0
        for index in endpoints.indices where !tried.contains(endpoints[index]) {
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
    private func chooseByWeightedRendezvous(key: UInt64, tried: Tried) -> Int? {
        var best: Int?
        var bestHash: UInt64 = 0
        var bestScore = Double.infinity
        for index in endpoints.indices where endpoints[index].weight > 0 && !tried.contains(endpoints[index]) {
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
