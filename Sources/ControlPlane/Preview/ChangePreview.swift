package import ServiceModel

/// What a change of the manifests would come to: the document of `ringway diff --output json`. Fields may be added to it, and none is
/// renamed or taken away.
package struct ChangePreview: Codable, Equatable, Sendable {
    package var apiVersion = "ringway.dev/v1"
    package var kind = "ChangePreview"
    /// Of the configuration that was in force.
    package var generation: UInt64 = 0
    /// Whether anything would be other than it is.
    package var hasChanges = false
    /// Those that would come, go or change, and those that are refused, by kind, namespace and name.
    package var objects: [Object] = []
    /// How many of the objects are in force as they stand there.
    package var unchanged = 0
    package var listeners: [Listener] = []
    package var servicePorts: [Port] = []
    package var connections = Connections()
    /// Errors and warnings, as `ringway check` says them.
    package var findings: [Finding] = []
    /// What an API server would answer to each object that is refused.
    package var statuses: [JSONValue] = []

    package init() {}

    package var hasErrors: Bool { findings.contains { $0.severity == Diagnostic.Severity.error.rawValue } }

    package struct Object: Codable, Equatable, Sendable {
        package enum Verdict: String, Codable, Sendable {
            case added, changed, removed
            /// What is in force under its name goes on, if there is anything, as it is.
            case refused
        }

        package var kind: String
        /// Empty where the kind has none.
        package var namespace: String
        package var name: String
        package var verdict: Verdict
        /// Whether the files name it. Others change because of it, or are missing there.
        package var isNamed = true
        /// Whether one of that key is in force now.
        package var isInForce = true
        /// Of a changed one what differs, of an added one what it would be given.
        package var fields: [FieldChange] = []
    }

    package struct Listener: Codable, Hashable, Sendable {
        package enum Change: String, Codable, Sendable {
            case opened, closed
            /// It goes on, and leads to another Service port.
            case moved
            /// An address that is asked for, and not listened on.
            case unserved
        }

        /// `tcp 127.0.0.1:9300`; an address or port that is not known yet is `<allocated>`.
        package var frontend: String
        package var change: Change
        /// `default/web:http`; where it closes the one that it led to.
        package var service: String
        /// `clusterIP`, `externalIP`, `loadBalancerIP`, `nodePort` or `healthCheckNodePort`.
        package var origin: String
        /// Why it closes, or isn't opened, where the Service still asks for it.
        package var reason: String?
    }

    /// A Service port with other endpoints, or other settings.
    package struct Port: Codable, Hashable, Sendable {
        package struct Endpoint: Codable, Hashable, Sendable {
            package var address: String
            /// Open now.
            package var connections: UInt64 = 0
        }

        package enum Change: String, Codable, Sendable {
            case added, changed, removed
        }

        /// `default/web:http`.
        package var service: String
        package var transport: String
        package var change: Change
        package var endpointsAdded: [Endpoint] = []
        package var endpointsRemoved: [Endpoint] = []
        /// How many there will be.
        package var endpoints = 0
        /// Whether new connections are treated otherwise: by other settings or weights.
        package var settingsChange = false
        /// Connections, or UDP sessions, open now.
        package var connections: UInt64 = 0
    }

    package struct Connections: Codable, Hashable, Sendable {
        package enum Fate: String, Codable, Sendable {
            /// They stay as they are, for as long as both sides like.
            case goOn
            /// They have some time to end, and what is left is reset.
            case drain
            case reset
            /// UDP sessions that go on with another endpoint.
            case rebind
            /// UDP sessions of a port without a listener.
            case end
        }

        /// Some that are open now.
        package struct Part: Codable, Hashable, Sendable {
            package var service: String
            package var transport: String
            /// nil where all of the Service port's are meant.
            package var endpoint: String?
            package var count: UInt64
            package var fate: Fate
            /// How much time they have.
            package var seconds: Double?
        }

        /// Those that something happens to: all but those that go on.
        package var touched: UInt64 = 0
        /// Those that lose their endpoint or their Service port.
        package var parts: [Part] = []

        package init() {}
    }

    package struct Finding: Codable, Hashable, Sendable {
        package var severity: String
        package var file: String
        /// 0: the file as a whole.
        package var line: Int
        package var column: Int
        package var message: String

        package init(_ diagnostic: Diagnostic) {
            severity = diagnostic.severity.rawValue
            (file, line, column) = (diagnostic.location.file, diagnostic.location.line, diagnostic.location.column)
            message = diagnostic.message
        }

        /// As a `Diagnostic` prints itself.
        package var text: String {
            let place = SourceLocation(file: file, line: line, column: column)
            return severity == Diagnostic.Severity.warning.rawValue ? "\(place): warning: \(message)" : "\(place): \(message)"
        }
    }
}
