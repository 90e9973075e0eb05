package import Addressing

/// What resolv.conf(5) says of whom to ask, read from its text.
///
/// `search`, `domain`, `sortlist` and `options` speak to programs that ask for names by their short forms, or say how patient these are:
/// they mean nothing to whoever forwards whole questions, and are passed over.
package struct ResolverConfiguration: Hashable, Sendable {
    /// In the order of the file, each once, at most `Upstreams.serversMax`.
    package private(set) var servers: [SocketAddress] = []
    /// What could not be used: `line 3: …`.
    package private(set) var problems: [String] = []

    /// - Parameter text: all of the file.
    package init(_ text: String) {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            // A comment only at the beginning of a line.
            guard line.first != "#", line.first != ";" else { continue }
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.first == "nameserver" else { continue }
            guard words.count > 1 else {
                problems.append("line \(index + 1): nameserver has no address")
                continue
            }
            add(words[1], line: index + 1)
        }
    }

    private mutating func add(_ word: Substring, line: Int) {
        guard let address = IPAddress(word) else {
            let reason = word.contains("%") ? "an address with a zone can't be asked" : "that is no IPv4 or IPv6 address"
            return problems.append("line \(line): nameserver \(word): \(reason)")
        }
        guard let port = PortNumber(Upstreams.port), !servers.contains(SocketAddress(address, port)) else { return }
        guard servers.count < Upstreams.serversMax else {
            return problems.append("line \(line): nameserver \(word): at most \(Upstreams.serversMax) are asked")
        }
        servers.append(SocketAddress(address, port))
    }
}
