package import Addressing

/// How an endpoint is asked whether it is well: by a Pod's `readinessProbe` or by annotation. Defaults are those of Kubernetes.
package struct HealthProbe: Hashable, Sendable {
    package struct Header: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package enum Action: Hashable, Sendable {
        /// A connect says enough.
        case tcp
        /// A status from 200 to 399.
        case httpGet(path: String, headers: [Header])
    }

    package var action: Action
    /// nil: where the endpoint is.
    package var address: IPAddress?
    package var port: PortNumber?
    package var initialDelay: Duration = .zero
    package var period: Duration = .seconds(10)
    package var timeout: Duration = .seconds(1)
    /// Successes and failures in a row that turn the verdict.
    package var rise = 1
    package var fall = 3

    package init(_ action: Action, port: PortNumber? = nil) {
        self.action = action
        self.port = port
    }
}

/// `v1/Pod`, cut down to where it is and what tells whether it is ready.
package struct Pod: Hashable, Sendable {
    /// How a Service's `targetPort` names a port.
    package struct PortName: Hashable, Sendable {
        package let name: String
        package let transport: TransportProtocol

        package init(_ name: String, _ transport: TransportProtocol) {
            self.name = name
            self.transport = transport
        }
    }

    /// `status.podIP` and `podIPs`, each once.
    package var addresses: [IPAddress] = []
    /// Ports that its containers declare.
    package var ports: Set<PortNumber> = []
    /// Those of them that have a name, of containers that go on running: the first of each name and protocol.
    package var namedPorts: [PortName: PortNumber] = [:]
    package var nodeName: String?
    /// Its name in the headless Service that the subdomain names.
    package var hostname: String?
    package var subdomain: String?
    /// `status.phase` Succeeded or Failed.
    package var isOver = false
    /// The condition Ready is True.
    package var isReady = false
    /// `metadata.deletionTimestamp` is there.
    package var isTerminating = false
    /// The readiness probes of all its containers: the Pod is ready when all say so. What can't be asked from outside is left out.
    package var probes: [HealthProbe] = []

    package init() {}
}
