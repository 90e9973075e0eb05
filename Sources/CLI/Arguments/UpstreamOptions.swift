internal import Addressing
internal import ArgumentParser
internal import DNS
internal import Forwarding

/// Names that are not the cluster's: who is asked for them.
struct UpstreamOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Ask these for names that are not the cluster's, port 53 where none is given; none: refuse them. (default: the name servers of "
                + "\(UpstreamChoice.resolverFile))",
            valueName: "address[:port],...|none"))
    var dnsUpstream: UpstreamArgument?

    @Option(
        help: ArgumentHelp(
            "Ask these for a domain and all below it; may be given again, the longest domain that fits decides.",
            valueName: "domain=address[:port],..."))
    var dnsStubDomain: [StubDomainArgument] = []

    init() {}

    func validate() throws {
        let domains = dnsStubDomain.map(\.stub.domain)
        if let twice = domains.first(where: { domain in domains.count { $0 == domain } > 1 }) {
            throw ValidationError("--dns-stub-domain has \(twice) twice: give all of its servers at once, separated by commas.")
        }
        if domains.count > Upstreams.stubDomainsMax { throw ValidationError("At most \(Upstreams.stubDomainsMax) stub domains.") }
    }

    /// - Parameters:
    ///   - names: where we are asked ourselves.
    ///   - resolverText: of resolv.conf; nil where it can't be read.
    ///   - hostAddresses: of the host's interfaces.
    func choice(
        for names: NameSettings, resolverText: @autoclosure () -> String?, hostAddresses: @autoclosure () -> [IPAddress]
    ) -> UpstreamChoice {
        var servers = dnsUpstream?.servers ?? []
        var notices: [String] = []
        if dnsUpstream == nil {
            let file = UpstreamChoice.resolverFile
            if let text = resolverText() {
                let configuration = ResolverConfiguration(text)
                servers = configuration.servers
                notices += configuration.problems.map { "\(file): \($0)" }
            } else {
                notices.append("\(file) can't be read: whom to ask for other names than the cluster's is not known (--dns-upstream)")
            }
        }
        let isWide = names.addresses.contains { $0.address.isUnspecified }
        let here = isWide ? hostAddresses() : []
        func withoutUs(_ servers: [SocketAddress]) -> [SocketAddress] {
            servers.filter { server in
                let isUs = names.addresses.contains { listen in
                    listen == server
                        || listen.port == server.port && listen.address.isUnspecified
                            && (server.address.isLoopback || server.address.isUnspecified || here.contains(server.address))
                }
                if isUs { notices.append("\(server) is not asked for other names than the cluster's: that is this process itself") }
                return !isUs
            }
        }
        let stubs = dnsStubDomain.map { StubDomain(domain: $0.stub.domain, servers: withoutUs($0.stub.servers)) }
        let others = withoutUs(servers)
        if others.isEmpty, dnsUpstream?.servers.isEmpty != true {
            notices.append("other names than the cluster's are refused: there is nobody to ask for them (--dns-upstream)")
        }
        return UpstreamChoice(upstreams: Upstreams(servers: others, stubDomains: stubs), notices: notices)
    }
}

/// Whom to ask, and what the user should know of it.
struct UpstreamChoice {
    static let resolverFile = "/etc/resolv.conf"

    var upstreams: Upstreams
    var notices: [String]
}

/// Addresses of name servers, port 53 where none is given, separated by commas; nil for anything else.
private func nameServers(_ text: some StringProtocol) -> [SocketAddress]? {
    var servers: [SocketAddress] = []
    for item in text.split(separator: ",", omittingEmptySubsequences: false).map({ $0.drop { $0 == " " } }) {
        let isBracketed = item.hasPrefix("[") && item.hasSuffix("]")
        let alone = IPAddress(isBracketed ? item.dropFirst().dropLast() : item[...])
        guard
            let server = alone.flatMap({ address in PortNumber(Upstreams.port).map { SocketAddress(address, $0) } }) ?? SocketAddress(item)
        else { return nil }
        if !servers.contains(server) { servers.append(server) }
    }
    return servers.count <= Upstreams.serversMax ? servers : nil
}

/// `--dns-upstream`: `192.0.2.1,[2001:db8::1]:5353`, or `none`.
struct UpstreamArgument: ExpressibleByArgument, Equatable {
    let servers: [SocketAddress]

    init?(argument: String) {
        guard let servers = argument == "none" ? [] : nameServers(argument) else { return nil }
        self.servers = servers
    }
}

/// `--dns-stub-domain`: `corp.example=192.0.2.1,192.0.2.2:5353`.
struct StubDomainArgument: ExpressibleByArgument, Equatable {
    let stub: StubDomain

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "="), let domain = DomainName(argument[..<equals]), domain.wire.count > 1,
            let servers = nameServers(argument[argument.index(after: equals)...])
        else { return nil }
        stub = StubDomain(domain: domain, servers: servers)
    }
}
