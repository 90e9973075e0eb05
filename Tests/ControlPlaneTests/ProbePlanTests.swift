import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// Which endpoints are asked whether they are well, and how.
@Suite struct ProbePlanTests {
    private static func pod(_ name: String, at address: String?, ports: [Int] = [8080], _ probes: [HealthProbe]) -> KubernetesObject {
        var pod = Pod()
        pod.addresses = address.map { [Objects.ip($0)] } ?? []
        pod.ports = Set(ports.map { PortNumber($0)! })
        pod.probes = probes
        return KubernetesObject(metadata: ObjectMetadata(name: name), body: .pod(pod), location: Objects.at(1))
    }

    private static func web(_ change: @escaping (inout Service) -> Void = { _ in }) -> KubernetesObject {
        Objects.service("web") {
            $0.externalIPs = [Objects.ip("127.0.0.1")]
            $0.ports = [Objects.servicePort(80)]
            change(&$0)
        }
    }

    private static func key(_ endpoint: String) -> EndpointKey {
        EndpointKey(
            service: ServicePortName(namespace: "default", name: "web", port: "", transport: .tcp), endpoint: Objects.socket(endpoint))
    }

    private static let tcp = HealthProbe(.tcp, port: PortNumber(8080))
    private static let get = HealthProbe(.httpGet(path: "/x", headers: []), port: PortNumber(8081))

    @Test func anEndpointIsAskedAsItsPodSays() throws {
        var compiler = SnapshotCompiler()
        let slice = Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1"), Objects.ready("10.0.0.2")])
        let probes = compiler.compile([Self.web(), slice, Self.pod("a", at: "10.0.0.1", [Self.tcp, Self.get])]).probes
        #expect(Array(probes.keys) == [Self.key("10.0.0.1:8080")])
        let both = try #require(probes.values.first)
        #expect(both.map(\.destination) == [Objects.socket("10.0.0.1:8080"), Objects.socket("10.0.0.1:8081")])
        #expect(
            both.map(\.action) == [
                .tcp,
                .http(
                    request: "GET /x HTTP/1.1\r\nHost: 10.0.0.1:8081\r\nUser-Agent: ringway-health-check\r\nAccept: */*\r\n"
                        + "Connection: close\r\n\r\n"),
            ])
    }

    @Test func thePodThatASliceNamesCountsBeforeTheOneAtTheAddress() {
        var compiler = SnapshotCompiler()
        var ready = Objects.ready("10.0.0.1")
        ready.pod = "named"
        let slice = Objects.slice("web-1", of: "web", [ready])
        let pods = [Self.pod("at", at: "10.0.0.1", [Self.tcp]), Self.pod("named", at: nil, [Self.get])]
        #expect(compiler.compile([Self.web(), slice] + pods).probes.values.first?.first?.destination.port == PortNumber(8081))
        #expect(compiler.compile([Self.web(), slice, pods[0]]).probes.values.first?.first?.action == .tcp)
    }

    @Test func podsThatShareAnAddressAreToldApartByTheirSlices() {
        var compiler = SnapshotCompiler()
        func slice(_ number: Int, _ port: Int) -> KubernetesObject {
            var ready = Objects.ready("10.0.0.1")
            ready.pod = "pod-\(number)"
            return Objects.slice("web-\(number)", of: "web", ports: [Objects.port(port)], [ready])
        }
        let pods = [Self.pod("pod-1", at: "10.0.0.1", ports: [], [Self.tcp]), Self.pod("pod-2", at: "10.0.0.1", ports: [], [Self.get])]
        let probes = compiler.compile([Self.web(), slice(1, 81), slice(2, 82)] + pods).probes
        #expect(probes[Self.key("10.0.0.1:81")]?.map(\.action) == [.tcp])
        #expect(probes[Self.key("10.0.0.1:82")]?.map(\.destination) == [Objects.socket("10.0.0.1:8081")])
    }

    @Test func podsThatShareAnAddressAreToldApartByTheirPorts() {
        var compiler = SnapshotCompiler()
        let slice = Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1")])
        let pods = [Self.pod("a", at: "10.0.0.1", ports: [9000], [Self.get]), Self.pod("b", at: "10.0.0.1", ports: [8080], [Self.tcp])]
        #expect(compiler.compile([Self.web(), slice] + pods).probes.values.first?.map(\.action) == [.tcp])
        // Neither says that it is the one.
        let others = [Self.pod("a", at: "10.0.0.1", ports: [], [Self.get]), Self.pod("b", at: "10.0.0.1", ports: [], [Self.tcp])]
        #expect(compiler.compile([Self.web(), slice] + others).probes.isEmpty)
    }

    @Test func theAnnotationCountsBeforeThePod() {
        var compiler = SnapshotCompiler()
        let slice = Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1")])
        let pod = Self.pod("a", at: "10.0.0.1", [Self.get])
        func probes(_ change: @escaping (inout Service) -> Void) -> [Probe] {
            compiler.compile([Self.web(change), slice, pod]).probes.values.flatMap { $0 }
        }
        #expect(probes { $0.settings.healthCheck = .off }.isEmpty)
        #expect(probes { $0.settings.healthCheck = .probe(.tcp, port: nil) }.map(\.destination) == [Objects.socket("10.0.0.1:8080")])
        #expect(probes { $0.settings.healthCheckInterval = .seconds(3) }.map(\.period) == [.seconds(3)])
    }

    @Test func onlyTheEndpointsOwnPortGetsAProxyHeader() {
        var compiler = SnapshotCompiler()
        let service = Self.web {
            $0.inlineEndpoints = [Objects.socket("10.0.0.1:8080")]
            $0.settings.proxyProtocol = .v2
        }
        let probes = compiler.compile([service, Self.pod("a", at: "10.0.0.1", [Self.tcp, Self.get])]).probes.values.first
        #expect(probes?.map(\.proxyProtocol) == [.v2, nil])
    }

    @Test func ofAPodThatChangesOnlyTheProbesChange() {
        var compiler = SnapshotCompiler()
        let objects = [Self.web(), Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1")])]
        #expect(compiler.compile(objects).probes.isEmpty)
        let added = compiler.compile(objects + [Self.pod("a", at: "10.0.0.1", [Self.tcp])])
        #expect(added.snapshot == nil && added.probes.count == 1)
        #expect(compiler.compile(objects).probes.isEmpty)
    }

    @Test func whoGetsNoConnectionsIsNotAsked() {
        var compiler = SnapshotCompiler()
        let service = Self.web {
            $0.inlineEndpoints = [Objects.socket("10.0.0.1:8080"), Objects.socket("10.0.0.2:8080")]
            $0.settings.weights = [EndpointWeight(address: Objects.ip("10.0.0.1"), weight: 0)]
            $0.settings.healthCheck = .probe(.tcp, port: nil)
        }
        #expect(Array(compiler.compile([service]).probes.keys) == [Self.key("10.0.0.2:8080")])
    }
}
