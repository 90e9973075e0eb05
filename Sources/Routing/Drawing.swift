package import Addressing

/// A seeded generator, one per worker: xoshiro256** by Blackman and Vigna (public domain, prng.di.unimi.it).
package struct RandomSource: RandomNumberGenerator, BitwiseCopyable, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    /// The same seed gives the same sequence. Any seed will do, zero included.
    package init(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            return Mixer.mix(state)
        }
        s0 = next()
        s1 = next()
        s2 = next()
        s3 = next()
    }

    package mutating func next() -> UInt64 {
        let product = s1 &* 5
        let result = (product << 7 | product >> 57) &* 9
        let shifted = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = s3 << 45 | s3 >> 19
        return result
    }

    /// A uniform number in 0..<bound (Lemire's multiply and reject). `bound` is at least 1.
    package mutating func below(_ bound: Int) -> Int {
        let range = UInt64(bound)
        var product = next().multipliedFullWidth(by: range)
        if product.low < range {
            let threshold = (0 &- range) % range
            while product.low < threshold { product = next().multipliedFullWidth(by: range) }
        }
        return Int(product.high)
    }
}

/// Fixed-key mixing for hashes that must agree between processes, which Swift's seeded `Hasher` does not.
package enum Mixer {
    /// The finaliser of splitmix64 (Steele, Lea, Flood 2014; constants by Stafford).
    package static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    package static func hash(of address: IPAddress) -> UInt64 {
        mix(mix(address.high &+ UInt64(address.family.rawValue) &* 0x9e37_79b9_7f4a_7c15) ^ address.low)
    }

    package static func hash(of address: SocketAddress) -> UInt64 {
        mix(hash(of: address.address) ^ UInt64(address.port.rawValue) &* 0x9e37_79b9_7f4a_7c15)
    }

    /// -ln(u), where u is `hash` as a number between 0 and 1, both excluded.
    ///
    /// Nodes must agree on it to the last bit, which the C library's log does not promise: this uses only the operations that
    /// IEEE 754 rounds alike everywhere.
    package static func negativeLogarithm(_ hash: UInt64) -> Double {
        let u = (Double(hash >> 12) + 0.5) * 0x1p-52
        var exponent = Double(u.exponent)
        var significand = u.significand
        if significand > 1.4142135623730951 {
            significand /= 2
            exponent += 1
        }
        // ln(m) = 2 artanh((m - 1)/(m + 1)); |s| < 0.1716, so that what follows the last term is below the rounding.
        let s = (significand - 1) / (significand + 1)
        let square = s * s
        var series = 0.0
        var divisor = 21.0
        while divisor > 0 {
            series = series * square + 1 / divisor
            divisor -= 2
        }
        return -(exponent * 0.6931471805599453 + 2 * s * series)
    }

    package static func hash(of text: String) -> UInt64 {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return mix(state)
    }
}

/// Endpoints a connection has already tried in vain: at most `Tried.max`, by identity.
package struct Tried: BitwiseCopyable, Sendable {
    /// More attempts than this are not made for one connection, whatever the number of endpoints.
    package static let max = 4

    private var identities: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    package private(set) var count: UInt8 = 0

    package init() {}

    /// Remembers one more endpoint, by `Endpoint.identity`; nothing once `max` are held.
    package mutating func insert(_ identity: UInt64) {
        switch count {
        case 0: identities.0 = identity
        case 1: identities.1 = identity
        case 2: identities.2 = identity
        case 3: identities.3 = identity
        default: return
        }
        count += 1
    }

    package func contains(_ endpoint: Endpoint) -> Bool {
        let id = endpoint.identity
        return count > 0 && identities.0 == id || count > 1 && identities.1 == id || count > 2 && identities.2 == id
            || count > 3 && identities.3 == id
    }
}

/// Where a worker stands in its round of a group's endpoints. Every worker goes round by itself: sharing one place would be a line
/// of memory that all of them write. They begin apart, so that few connections don't all meet the same endpoint.
package struct Turn: BitwiseCopyable, Sendable {
    private var next: UInt32 = 0
    private let worker: UInt16
    private let workers: UInt16

    /// The turn of worker `worker` of `workers`.
    package init(worker: Int = 0, of workers: Int = 1) {
        self.worker = UInt16(clamping: worker)
        self.workers = UInt16(clamping: max(1, workers))
    }

    /// The next place in a round of `length` places; `length` is at least 1, and another one than before does no harm.
    mutating func take(of length: Int) -> Int {
        let place = Int(next) % length
        next = UInt32((place + 1) % length)
        return (place + length * Int(worker) / Int(workers)) % length
    }
}
