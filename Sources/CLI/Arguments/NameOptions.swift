internal import Addressing
internal import ArgumentParser
internal import ControlPlane
internal import DNS
internal import Forwarding

/// The cluster's DNS: where it is asked, and what it says.
struct NameOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Answer queries for the names of Services at these addresses, over UDP and TCP; port 53 where none is given. (default: "
                + "nobody answers)",
            valueName: "address[:port],..."),
        transform: NameAddressesArgument.init)
    var dnsListen = NameAddressesArgument()

    @Option(help: ArgumentHelp("What the cluster's names end with.", valueName: "domain"))
    var clusterDomain = ClusterDomainArgument(domain: DomainName("cluster.local")!)

    @Option(help: ArgumentHelp("Seconds for which an answer may be kept: 0 to 3600.", valueName: "seconds"))
    var dnsTtl = 5

    @Option(
        help: """
            Names of Pods (10-244-0-7.NAMESPACE.pod.DOMAIN): don't exist (disabled), exist for every address (insecure), or for those \
            of Pods in that namespace (verified).
            """)
    var dnsPods: PodNames = .disabled

    @Option(
        help: ArgumentHelp(
            "Answers that one network (/24, IPv6 /56) gets by UDP in a second, or none for any number; of those beyond it every second one "
                + "asks for TCP. Loopback, private and link-local addresses are not limited.",
            valueName: "n|none"))
    var dnsRateLimit = RateLimitArgument(responses: 200)

    init() {}

    func validate() throws {
        if !(0...3600).contains(dnsTtl) { throw ValidationError("--dns-ttl must be from 0 to 3600 seconds.") }
    }

    /// Where queries are answered, ports aside.
    var hosts: [IPAddress] { dnsListen.addresses.map(\.address) }

    /// nil where nobody answers.
    ///
    /// - Parameter owned: ranges whose reverse names are the cluster's.
    func settings(owned: [IPRange]) -> NameSettings? {
        guard !dnsListen.addresses.isEmpty else { return nil }
        var responder = Responder.Settings(domain: clusterDomain.domain)
        responder.ttl = UInt32(dnsTtl)
        responder.podNames = dnsPods
        responder.serverAddresses = dnsListen.addresses.map(\.address).filter { !$0.isUnspecified }
        responder.ownedRanges = owned
        return NameSettings(addresses: dnsListen.addresses, responder: responder, responsesPerSourceMax: dnsRateLimit.responses)
    }
}

/// `--dns-listen`: `127.0.0.1`, `10.96.0.10:53`, `[::1]:5353`, separated by commas.
struct NameAddressesArgument: Equatable {
    struct Malformed: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    let addresses: [SocketAddress]

    init() { addresses = [] }

    init(_ text: String) throws(Malformed) {
        var addresses: [SocketAddress] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false).map({ $0.drop { $0 == " " } }) {
            let isBracketed = item.hasPrefix("[") && item.hasSuffix("]")
            let alone = IPAddress(isBracketed ? item.dropFirst().dropLast() : item).map { SocketAddress($0, PortNumber(UInt16(53))!) }
            guard let address = alone ?? SocketAddress(item) else {
                throw Malformed(description: "\"\(item)\" is no address like 127.0.0.1, 127.0.0.1:5353 or [::1]:5353.")
            }
            if addresses.contains(address) { throw Malformed(description: "\(address) is listed twice.") }
            addresses.append(address)
        }
        guard addresses.count <= Limits.nameAddressesMax else {
            throw Malformed(description: "At most \(Limits.nameAddressesMax) addresses.")
        }
        self.addresses = addresses
    }
}

/// `--cluster-domain`.
struct ClusterDomainArgument: ExpressibleByArgument, Equatable, CustomStringConvertible {
    var domain: DomainName

    init(domain: DomainName) { self.domain = domain }

    /// A domain of one label at least, such as names of hosts are made of. What stands before it has to fit, too.
    init?(argument: String) {
        let name = argument.hasSuffix(".") ? argument.dropLast() : argument[...]
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let domain = DomainName(name), domain.wire.count <= 128, labels.allSatisfy(Self.isLabel) else { return nil }
        self.domain = domain
    }

    private static func isLabel(_ label: Substring) -> Bool {
        guard let first = label.utf8.first, let last = label.utf8.last, first != 0x2d, last != 0x2d else { return false }
        return label.utf8.allSatisfy {
            (0x61...0x7a).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x2d
        }
    }

    var description: String { String(domain.description.dropLast()) }
    var defaultValueDescription: String { description }
}

/// `--dns-rate-limit`: a number, or `none`.
struct RateLimitArgument: ExpressibleByArgument, Equatable, CustomStringConvertible {
    var responses: Int?

    init(responses: Int?) { self.responses = responses }

    init?(argument: String) {
        if argument == "none" {
            responses = nil
            return
        }
        guard let number = Int(argument), (1...1_000_000).contains(number) else { return nil }
        responses = number
    }

    var description: String { responses.map(String.init) ?? "none" }
    var defaultValueDescription: String { description }
}

extension NameSettings {
    /// What has to be known for it.
    var scope: NameScope { responder.podNames == .verified ? .servicesAndPods : .services }

    var places: [String] { addresses.map(\.description) }
}

extension NameFailure {
    var message: String { "can't answer queries at \(address) over \(transport.rawValue) (--dns-listen): \(reason)" }
}

extension PodNames: ExpressibleByArgument {}
