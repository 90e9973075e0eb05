import Addressing
import DNS
import Routing

/// How many answers a network of clients gets by UDP, so that nobody who borrows its addresses can aim them at it.
///
/// Of the answers beyond the rate, every second one by lot is cut to nothing but "ask by TCP" (TC), which is no longer than its query and
/// lets a client through that is there; the others are not sent.
struct ResponseRates: ~Copyable {
    enum Verdict: BitwiseCopyable { case answer, truncate, drop }

    private let rate: Int?
    private let secret: UInt64
    private var sources: SourceRates

    init(rate: Int?, secret: UInt64) {
        self.rate = rate
        self.secret = secret
        sources = SourceRates(burstNanoseconds: Limits.nameBurstNanoseconds)
    }

    mutating func verdict(on client: IPAddress, _ now: UInt64, random: inout RandomSource) -> Verdict {
        guard let rate, !client.isNearby else { return .answer }
        // Networks of IPv4 and IPv6 may meet in a number; they are kept apart by the family.
        let network = client.family == .ipv4 ? client.low >> 8 : client.high >> 8
        let key = Mixer.mix(network ^ secret &+ UInt64(client.family.rawValue))
        if sources.allows(key, 1, rate: rate, now) { return .answer }
        return random.next() & 1 == 0 ? .truncate : .drop
    }
}

extension IPAddress {
    /// Loopback, private (RFC 1918, RFC 4193, and RFC 6598's shared space), or link-local: whoever sends from these is one of ours.
    var isNearby: Bool {
        let address = unmapped
        switch address.family {
        case .ipv4:
            let bits = address.low
            return bits >> 24 == 127 || bits >> 24 == 10 || bits >> 20 == 0xac1 || bits >> 16 == 0xc0a8 || bits >> 16 == 0xa9fe
                || bits >> 22 == 0x6440 >> 6
        case .ipv6: return address.isLoopback || address.high >> 57 == 0xfc >> 1 || address.high >> 54 == 0xfe80 >> 6
        }
    }
}
