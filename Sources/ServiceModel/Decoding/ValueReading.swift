import Addressing

// Readers of single values that several kinds share. Each reports what is wrong and gives nil for what can't be used.

/// A port number; a missing one that is required reads as 0, as it does to Go.
func readNumber(_ field: Field, isRequired: Bool, into findings: inout Findings) -> PortNumber? {
    guard field.node == nil || field.int32 != nil else { return nil }
    guard let number = field.int32 ?? (isRequired ? 0 : nil) else { return nil }
    guard let port = PortNumber(number) else {
        findings.invalid(field, String(number), AddressRules.portRangeMessage)
        return nil
    }
    return port
}

/// A transport protocol, TCP where none is given.
func readTransport(_ field: Field, into findings: inout Findings) -> TransportProtocol? {
    guard field.node == nil || field.string != nil else { return nil }
    guard let text = field.string, !text.isEmpty else { return .tcp }
    guard let transport = TransportProtocol(rawValue: text) else {
        findings.unsupported(field, text, supported: TransportProtocol.allCases.map(\.rawValue).sorted())
        return nil
    }
    return transport
}

/// An address that may be listened on or connected to.
func readUsableAddress(_ text: String, _ field: Field, into findings: inout Findings) -> IPAddress? {
    validateUsableAddress(text, field, into: &findings)
}

/// Says what is wrong with an address that is to be listened on or connected to, or gives it.
@discardableResult
func validateUsableAddress(_ text: String, _ place: some Located, into findings: inout Findings) -> IPAddress? {
    let (address, problem) = AddressRules.address(text)
    let special = address.flatMap { AddressRules.specialAddress($0, isLoopbackRefused: findings.strictness == .kubernetes) }
    if let problem = problem ?? special {
        findings.invalid(place, string: text, problem)
        return nil
    }
    return address
}

func validateAppProtocol(_ field: Field, into findings: inout Findings) {
    guard let text = field.string else { return }
    findings.invalid(field, string: text, NameRules.qualifiedName(text))
}

/// The text without white space at its ends.
func trimmed(_ text: some StringProtocol) -> Substring {
    var rest = Substring(text)
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return rest
}
