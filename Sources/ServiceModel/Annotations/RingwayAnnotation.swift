import Addressing

/// Ringway's own annotations on a Service: the closed list. A further one is one line in `all`, with its name, the place of its
/// value in `Service`, and what may stand there.
package enum RingwayAnnotation {
    /// Every annotation of ours begins with this; one we don't know is an error, since it would silently do nothing.
    package static let prefix = "ringway.dev/"
    /// Endpoints written into the Service itself: `127.0.0.1:9301, [::1]:9302`. They replace slices.
    package static let endpoints = "ringway.dev/endpoints"

    static let algorithm = "ringway.dev/algorithm"
    static let weights = "ringway.dev/weights"
    static let proxyProtocol = "ringway.dev/proxy-protocol"
    static let acceptProxyProtocolFrom = "ringway.dev/accept-proxy-protocol-from"
    static let healthCheck = "ringway.dev/health-check"
    private static let healthCheckTimes: ClosedRange<Duration> = .milliseconds(100)...(.seconds(3600))
    static let idleTimeout = "ringway.dev/idle-timeout"
    static let halfCloseTimeout = "ringway.dev/half-close-timeout"
    static let keepalive = "ringway.dev/tcp-keepalive"
    static let userTimeout = "ringway.dev/tcp-user-timeout"
    static let connectTimeout = "ringway.dev/connect-timeout"
    static let connectAttemptTimeout = "ringway.dev/connect-attempt-timeout"
    static let unexpectedProxyHeader = "ringway.dev/unexpected-proxy-header"
    private static let udpTimeout = "ringway.dev/udp-timeout"
    private static let udpStreamTimeout = "ringway.dev/udp-stream-timeout"

    static let all: [ServiceAnnotation] = [
        ServiceAnnotation(endpoints, \.inlineEndpoints, .endpoints),
        ServiceAnnotation(algorithm, \.settings.algorithm, .choice),
        ServiceAnnotation(weights, \.settings.weights, .weights),
        ServiceAnnotation(connectTimeout, \.settings.connectTimeout, .duration(TimeoutRange.connect), of: .tcp),
        ServiceAnnotation(connectAttemptTimeout, \.settings.connectAttemptTimeout, .duration(TimeoutRange.connect), of: .tcp),
        ServiceAnnotation(idleTimeout, \.settings.idleTimeout, .duration(TimeoutRange.idle, orOff: true), of: .tcp),
        ServiceAnnotation(halfCloseTimeout, \.settings.halfCloseTimeout, .duration(TimeoutRange.halfClose, orOff: true), of: .tcp),
        ServiceAnnotation(keepalive, \.settings.keepalive, .duration(TimeoutRange.keepalive, orOff: true), of: .tcp),
        ServiceAnnotation(userTimeout, \.settings.userTimeout, .duration(TimeoutRange.userTimeout, orOff: true), of: .tcp),
        ServiceAnnotation("ringway.dev/max-connections", \.settings.connectionsMax, .integer(1...Int(Int32.max))),
        ServiceAnnotation("ringway.dev/max-connections-per-source", \.settings.connectionsPerSourceMax, .integer(1...Int(Int32.max))),
        ServiceAnnotation("ringway.dev/eject-after", \.settings.ejectAfter, .integer(1...100, orOff: true)),
        ServiceAnnotation("ringway.dev/on-delete", \.settings.onDelete, .deletionPolicy, of: .tcp),
        ServiceAnnotation(healthCheck, \.settings.healthCheck, .healthCheck),
        ServiceAnnotation("ringway.dev/health-check-interval", \.settings.healthCheckInterval, .duration(healthCheckTimes)),
        ServiceAnnotation("ringway.dev/health-check-timeout", \.settings.healthCheckTimeout, .duration(healthCheckTimes)),
        ServiceAnnotation("ringway.dev/health-check-rise", \.settings.healthCheckRise, .integer(1...100)),
        ServiceAnnotation("ringway.dev/health-check-fall", \.settings.healthCheckFall, .integer(1...100)),
        ServiceAnnotation(proxyProtocol, \.settings.proxyProtocol, .choice, of: .tcp),
        ServiceAnnotation(acceptProxyProtocolFrom, \.settings.acceptProxyProtocolFrom, .ranges, of: .tcp),
        ServiceAnnotation(unexpectedProxyHeader, \.settings.unexpectedProxyHeader, .choice, of: .tcp),
        ServiceAnnotation("ringway.dev/node-port-source-ranges", \.settings.nodePortSourceRanges, .ranges),
        ServiceAnnotation("ringway.dev/udp-class", \.settings.udpClass, .choice, of: .udp),
        ServiceAnnotation(udpTimeout, \.settings.udpTimeout, .duration(TimeoutRange.session), of: .udp),
        ServiceAnnotation(udpStreamTimeout, \.settings.udpStreamTimeout, .duration(TimeoutRange.session), of: .udp),
        ServiceAnnotation("ringway.dev/udp-reply-ratio-max", \.settings.udpReplyRatioMax, .integer(1...100_000), of: .udp),
        ServiceAnnotation("ringway.dev/udp-rate-per-source", \.settings.udpRatePerSource, .integer(1...10_000_000), of: .udp),
    ]

    static let names = all.map(\.name)
}

/// An annotation and what becomes of its text.
struct ServiceAnnotation: Sendable {
    let name: String
    /// The protocol whose ports it is for; nil for those of all.
    private let transport: TransportProtocol?
    private let read: @Sendable (String, Field, inout Service, inout Findings) -> Void

    init<Value: Sendable>(
        _ name: String, _ place: any WritableKeyPath<Service, Value?> & Sendable, _ reader: AnnotationReader<Value>,
        of transport: TransportProtocol? = nil
    ) {
        self.name = name
        self.transport = transport
        read = { text, field, service, findings in
            if let value = reader.read(text, field, &findings) { service[keyPath: place] = value }
        }
    }

    /// The annotation's place under `metadata.annotations`; nil where it is missing or no text (and then the strict pass said so).
    static func field(_ name: String, in annotations: Field) -> Field? {
        guard let node = annotations.node?[name], node.textInMap != nil else { return nil }
        return Field(path: .key(annotations.path, name), node: node, parentLocation: node.location)
    }

    /// The Service's ports are read already.
    func read(from annotations: Field, into service: inout Service, findings: inout Findings) {
        guard let field = Self.field(name, in: annotations) else { return }
        read(field.string ?? "", field, &service, &findings)
        if let transport, !service.ports.isEmpty, !service.ports.contains(where: { $0.transport == transport }) {
            findings.warn(field, "has no effect, as the Service has no \(transport.rawValue) port")
        }
    }
}

/// Turns an annotation's text into a value, or says what is wrong with it and what is allowed.
struct AnnotationReader<Value: Sendable>: Sendable {
    let read: @Sendable (_ text: String, _ field: Field, _ findings: inout Findings) -> Value?
}

extension AnnotationReader where Value: CaseIterable & RawRepresentable<String> {
    /// One of the words of an enumeration.
    static var choice: Self {
        Self { text, field, findings in
            if let value = Value(rawValue: String(trimmed(text))) { return value }
            findings.unsupported(field, text, supported: Value.allCases.map(\.rawValue).sorted())
            return nil
        }
    }
}

extension AnnotationReader where Value == Int {
    /// A whole number within `range`; with `orOff` also `off`, which is read as 0.
    static func integer(_ range: ClosedRange<Int>, orOff: Bool = false) -> Self {
        Self { text, field, findings in
            if orOff, trimmed(text) == "off" { return 0 }
            guard let number = wholeNumber(trimmed(text)), range.contains(number) else {
                findings.invalid(
                    field, string: text,
                    "must be a whole number between \(range.lowerBound) and \(range.upperBound), inclusive\(orOff ? ", or off" : "")")
                return nil
            }
            return number
        }
    }
}

/// A number of decimal digits alone; nil where it is none or too long.
func wholeNumber(_ text: some StringProtocol) -> Int? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
}

extension AnnotationReader where Value == Duration {
    /// A length of time as Go and Kubernetes write it, within `range`; with `orOff` also `off` or a zero, which is read as zero.
    static func duration(_ range: ClosedRange<Duration>, orOff: Bool = false) -> Self {
        Self { text, field, findings in
            if orOff, let zero = DurationText.durationOrOff(trimmed(text)), zero == .zero { return zero }
            guard let duration = DurationText.duration(trimmed(text)) else {
                findings.invalid(field, string: text, "must be a length of time with its unit, such as 500ms, 90s, 5m or 1h30m")
                return nil
            }
            guard range.contains(duration) else {
                let bounds = "\(DurationText.text(of: range.lowerBound)) and \(DurationText.text(of: range.upperBound))"
                findings.invalid(field, string: text, "must be between \(bounds), inclusive\(orOff ? ", or off" : "")")
                return nil
            }
            return duration
        }
    }
}
