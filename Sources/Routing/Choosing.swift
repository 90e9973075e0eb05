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
            guard tried.count == 0, !endpoints.isEmpty else { return chooseAtRandom(tried: tried, random: &random) }
            return turn.take(of: endpoints.count)
        case .leastConnections:
            guard let first = chooseAtRandom(tried: tried, random: &random) else { return nil }
            guard let second = chooseAtRandom(tried: tried, except: first, random: &random) else { return first }
            return connectionsActive(second) < connectionsActive(first) ? second : first
        case .clientIP:
            guard let client else { return chooseAtRandom(tried: tried, random: &random) }
            return chooseByRendezvous(client: client.unmapped, tried: tried)
        }
    }

    private func chooseAtRandom(tried: Tried, except: Int? = nil, random: inout RandomSource) -> Int? {
        guard !endpoints.isEmpty else { return nil }
        if tried.count == 0 {
            guard let except else { return random.below(endpoints.count) }
            guard endpoints.count > 1 else { return nil }
            let ordinal = random.below(endpoints.count - 1)
            return ordinal < except ? ordinal : ordinal + 1
        }
        var left = 0
        for index in endpoints.indices where index != except && !tried.contains(endpoints[index]) { left += 1 }
        guard left > 0 else { return nil }
        var ordinal = random.below(left)
        for index in endpoints.indices where index != except && !tried.contains(endpoints[index]) {
            if ordinal == 0 { return index }
            ordinal -= 1
        }
        return nil
    }

    /// Highest random weight (Thaler and Ravishankar 1998): each endpoint scores by a hash of client, Service port and
    /// endpoint; the best wins. A removed endpoint moves only its own clients; ties go to the lower address.
    private func chooseByRendezvous(client: IPAddress, tried: Tried) -> Int? {
        let key = Mixer.hash(of: client) ^ identity
        var best: Int?
        var bestScore: UInt64 = 0
        for index in endpoints.indices where !tried.contains(endpoints[index]) {
            let score = Mixer.mix(key ^ endpoints[index].identity)
            if best == nil || score > bestScore {
                best = index
                bestScore = score
            }
        }
        return best
    }
}
