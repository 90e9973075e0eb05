package import Addressing

/// How large a share an endpoint gets, against the others of its Service.
package struct EndpointWeight: Hashable, Sendable {
    package static let range = 0...256
    /// What an endpoint has that no item names.
    package static let unnamed = 1

    package var address: IPAddress
    /// nil means the address at every port, where no item names the port.
    package var port: PortNumber?
    package var weight: Int

    package init(address: IPAddress, port: PortNumber? = nil, weight: Int) {
        self.address = address
        self.port = port
        self.weight = weight
    }

    func matches(_ endpoint: SocketAddress) -> Bool {
        address == endpoint.address && (port == nil || port == endpoint.port)
    }
}

extension AnnotationReader where Value == [EndpointWeight] {
    /// `ADDRESS=WEIGHT, ADDRESS:PORT=WEIGHT, …`: at least one, each endpoint once.
    static var weights: Self {
        Self { text, field, findings in
            guard text.contains(where: { !$0.isWhitespace }) else {
                findings.required(field, "at least one weight as ADDRESS=WEIGHT or ADDRESS:PORT=WEIGHT, such as 10.0.1.11=3")
                return nil
            }
            var weights: [EndpointWeight] = []
            for (index, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
                let item = trimmed(item)
                switch weight(item) {
                case .success(let weight):
                    if weights.contains(where: { $0.address == weight.address && $0.port == weight.port }) {
                        findings.duplicate(field, goQuoted(String(item.prefix { $0 != "=" })))
                    } else {
                        weights.append(weight)
                    }
                case .failure(let problem): findings.invalid(field, string: String(item), "item \(index + 1) \(problem.words)")
                }
            }
            return weights
        }
    }

    private struct Problem: Error {
        let words: String
    }

    private static func weight(_ item: Substring) -> Result<EndpointWeight, Problem> {
        if item.isEmpty { return .failure(Problem(words: "is empty")) }
        guard let equals = item.lastIndex(of: "=") else {
            return .failure(Problem(words: "has no weight: write ADDRESS=WEIGHT or ADDRESS:PORT=WEIGHT, such as 10.0.1.11=3"))
        }
        let name = trimmed(item[..<equals])
        let digits = trimmed(item[item.index(after: equals)...])
        guard let number = wholeNumber(digits), EndpointWeight.range.contains(number) else {
            let range = EndpointWeight.range
            return .failure(
                Problem(words: "must have a weight between \(range.lowerBound) and \(range.upperBound), inclusive, after the ="))
        }
        if let endpoint = SocketAddress(name) {
            return .success(EndpointWeight(address: endpoint.address, port: endpoint.port, weight: number))
        }
        if let address = IPAddress(name) { return .success(EndpointWeight(address: address, weight: number)) }
        return .failure(Problem(words: "must name an endpoint by its IP address, with or without port, such as 10.0.1.11 or [::1]:9301"))
    }
}
