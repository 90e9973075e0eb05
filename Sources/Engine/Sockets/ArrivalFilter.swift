package import Addressing
import CLinux
import Glibc

/// Whose connections a listener takes: clients that are in each of some lists. The SYNs of others vanish, as if nobody had the address.
package struct ArrivalFilter: Equatable, Sendable {
    /// None of them: everybody's are taken. An empty one: nobody's.
    private let lists: [[IPRange]]
    private let family: IPAddress.Family

    /// - Parameter lists: ranges of other families are left out.
    package init(_ lists: [[IPRange]], of family: IPAddress.Family) {
        self.lists = lists.map { list in list.filter { $0.address.family == family } }
        self.family = family
    }

    package static let nobody = ArrivalFilter([[]], of: .ipv4)

    package var isOpenToAll: Bool { lists.isEmpty }

    package func admits(_ client: IPAddress) -> Bool {
        lists.allSatisfy { list in list.contains { $0.contains(client) } }
    }
}

// As a program of classic BPF, which the kernel runs over each packet for the listener, and for what it has accepted.
extension ArrivalFilter {
    /// As many as the kernel takes (BPF_MAXINSNS).
    private static let instructionsMax = 4096
    /// What comes before the segment itself is found from here on (SKF_NET_OFF): the IP header.
    private static let networkHeader = UInt32(bitPattern: -0x10_0000)

    /// nil where it is too long: some 1000 ranges of IPv4, or 300 of IPv6.
    var program: [sock_filter]? {
        var program: [sock_filter] = []
        func append(_ code: Int32, _ k: UInt32, jumpIfNot: UInt8 = 0) {
            program.append(sock_filter(code: UInt16(code), jt: 0, jf: jumpIfNot, k: k))
        }
        let pass = UInt32.max
        // Only a SYN without ACK asks for a connection. The last ACK of a handshake, and what follows, comes through here, too.
        append(BPF_LD | BPF_B | BPF_ABS, 13)
        append(BPF_ALU | BPF_AND | BPF_K, 0x12)
        program.append(sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 1, jf: 0, k: 0x02))
        append(BPF_RET | BPF_K, pass)
        let source = Self.networkHeader &+ (family == .ipv4 ? 12 : 8)
        for list in lists {
            var matches: [Int] = []
            for range in list {
                let words = range.words
                // A word costs three instructions, or two where all of its bits count; the jump behind the last is one more.
                var left = words.reduce(1) { $0 + ($1.mask == .max ? 2 : 3) }
                for (index, word) in words.enumerated() {
                    append(BPF_LD | BPF_W | BPF_ABS, source &+ UInt32(index) &* 4)
                    if word.mask != .max { append(BPF_ALU | BPF_AND | BPF_K, word.mask) }
                    left -= word.mask == .max ? 2 : 3
                    append(BPF_JMP | BPF_JEQ | BPF_K, word.value, jumpIfNot: UInt8(left))
                }
                matches.append(program.count)
                append(BPF_JMP | BPF_JA, 0)
            }
            append(BPF_RET | BPF_K, 0)
            for place in matches { program[place].k = UInt32(program.count - place - 1) }
        }
        append(BPF_RET | BPF_K, pass)
        return program.count <= Self.instructionsMax ? program : nil
    }
}

extension IPRange {
    /// What an address of the range has in each of its 32-bit words, as far as it matters.
    fileprivate var words: [(value: UInt32, mask: UInt32)] {
        let all: [UInt32] =
            address.family == .ipv4
            ? [UInt32(truncatingIfNeeded: address.low)]
            : [address.high >> 32, address.high, address.low >> 32, address.low].map { UInt32(truncatingIfNeeded: $0) }
        return all.enumerated().compactMap { index, value in
            let bits = Int(prefix) - index * 32
            return bits <= 0 ? nil : (value, bits >= 32 ? .max : ~(.max >> UInt32(bits)))
        }
    }
}

extension KernelSockets {
    /// Puts a filter in the place of the one that is there, at once.
    ///
    /// - Returns: false where the program is too long or the host grants none. Then everybody's connections are taken.
    @discardableResult
    mutating func setArrivals(_ filter: ArrivalFilter, of listener: SocketID) -> Bool {
        guard let descriptor = descriptor(of: listener) else { return false }
        if !filter.isOpenToAll, attach(filter, to: descriptor) { return true }
        // What is there may turn away whom this one would let in. ENOENT: there is none.
        _ = set(descriptor, SOL_SOCKET, SO_DETACH_FILTER, 0)
        return filter.isOpenToAll
    }

    mutating func attach(_ filter: ArrivalFilter, to descriptor: Int32) -> Bool {
        guard let program = filter.program else { return false }
        systemCalls &+= 1
        let result = unsafe program.withUnsafeBufferPointer { buffer in
            var program = unsafe sock_fprog(len: UInt16(buffer.count), filter: UnsafeMutablePointer(mutating: buffer.baseAddress))
            return unsafe setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout<sock_fprog>.size))
        }
        return result == 0
    }
}
