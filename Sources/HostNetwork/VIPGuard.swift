package import Addressing

/// Keeps the host's own servers off virtual addresses: with the route of a range, whatever is bound to the wildcard address would answer
/// at every address of the range, sshd at every Service.
///
/// A table of nftables refuses, in those ranges, what would reach a socket bound to a wildcard address that doesn't carry Ringway's
/// mark. It says nothing of sockets bound to the address itself, so that it stays as it is when Services come and go; what nobody
/// listens to is refused by the kernel, and echo requests are answered.
package enum VIPGuard {
    package static let table = "ringway"
    /// SO_MARK of Ringway's own sockets on wildcard addresses that serve virtual ones.
    package static let mark: UInt32 = 0x7277_6179

    /// Takes the place of what is there, at once, also of another Ringway's.
    package static func ruleset(_ ranges: [IPRange]) -> String {
        var rules: [String] = []
        for (family, name) in [(IPAddress.Family.ipv4, "ip"), (.ipv6, "ip6")] {
            let list = ranges.filter { $0.address.family == family }.map(\.description).joined(separator: ", ")
            guard !list.isEmpty else { continue }
            let wild = "\(name) daddr { \(list) } socket wildcard 1 socket mark != 0x\(String(mark, radix: 16))"
            rules.append("\(wild) meta l4proto tcp counter reject with tcp reset")
            rules.append("\(wild) meta l4proto udp counter reject")
        }
        return """
            add table inet \(table)
            delete table inet \(table)
            table inet \(table) {
              chain guard {
                type filter hook input priority filter - 10; policy accept;
                \(rules.joined(separator: "\n    "))
              }
            }

            """
    }

    /// - Throws: `HostNetworkFailure.program` where nft is missing, or the kernel refuses.
    static func put(_ ranges: [IPRange]) throws(HostNetworkFailure) { try run(["nft", ruleset(ranges)]) }

    static func remove() throws(HostNetworkFailure) { try run(["nft", "add table inet \(table); delete table inet \(table)"]) }

    static var isThere: Bool { Program.run(["nft", "list", "table", "inet", table]).code == 0 }

    private static func run(_ arguments: [String]) throws(HostNetworkFailure) {
        let outcome = Program.run(arguments)
        guard outcome.code != 0 else { return }
        throw .program("nft", outcome.code == 127 ? nil : String(outcome.message.prefix { $0 != "\n" }))
    }
}
