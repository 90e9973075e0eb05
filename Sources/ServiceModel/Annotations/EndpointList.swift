import Addressing

extension AnnotationReader where Value == [SocketAddress] {
    /// `ADDRESS:PORT, …`: at least one, each once.
    static var endpoints: Self {
        Self { text, field, findings in
            guard text.contains(where: { !$0.isWhitespace }) else {
                findings.required(field, "at least one endpoint as ADDRESS:PORT, such as 127.0.0.1:9301")
                return nil
            }
            var endpoints: [SocketAddress] = []
            for (index, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
                let item = trimmed(item)
                guard let endpoint = SocketAddress(item), AddressRules.specialAddress(endpoint.address) == nil else {
                    findings.invalid(field, string: String(item), problem(ofItem: item, number: index + 1))
                    continue
                }
                if endpoints.contains(endpoint) {
                    findings.warn(field, "endpoint \(endpoint) is listed twice and counts once")
                } else {
                    endpoints.append(endpoint)
                }
            }
            return endpoints
        }
    }

    private static func problem(ofItem item: Substring, number: Int) -> String {
        if item.isEmpty { return "item \(number) is empty" }
        if let endpoint = SocketAddress(item), let problem = AddressRules.specialAddress(endpoint.address) {
            return "item \(number) \(problem)"
        }
        if IPAddress(item) != nil { return "item \(number) has no port: write ADDRESS:PORT, and IPv6 as [ADDRESS]:PORT" }
        if let colon = item.lastIndex(of: ":"), item.index(after: colon) < item.endIndex {
            let host = item[..<colon]
            let digits = item[item.index(after: colon)...]
            let address = host.first == "[" && host.last == "]" ? host.dropFirst().dropLast() : host
            if IPAddress(address) != nil, PortNumber(digits) == nil {
                return "item \(number): the port \(AddressRules.portRangeMessage)"
            }
        }
        return "item \(number) must be ADDRESS:PORT with an IP address, such as 127.0.0.1:9301 or [::1]:9301"
    }
}
