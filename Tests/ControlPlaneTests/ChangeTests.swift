import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// Changes told one by one come to what the whole would.
struct ChangeTests {
    /// Objects with so few names, addresses and labels that they meet.
    private struct World {
        var random: RandomSource
        var objects: [ObjectKey: KubernetesObject] = [:]

        mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

        mutating func address(_ prefix: String, of count: Int) -> IPAddress { Objects.ip("\(prefix).\(below(count) + 1)") }

        mutating func service() -> KubernetesObject {
            let (addresses, app) = ((0..<below(3)).map { _ in address("10.96.0", of: 4) }, "\(below(3))")
            let (nodePort, port, distribution, line) = (below(4), 80 + below(2), below(3), below(3) + 1)
            return Objects.service("s\(below(5))", line: line) {
                $0.externalIPs = Array(Set(addresses)).sorted()
                $0.ports = [Objects.servicePort(port, nodePort: nodePort == 0 ? 30_000 : nil, line: line)]
                if nodePort == 0 { $0.type = .nodePort }
                $0.selector = ["app": app]
                $0.trafficDistribution = distribution == 0 ? .preferSameZone : nil
            }
        }

        mutating func pod() -> KubernetesObject {
            var pod = Pod()
            pod.addresses = [address("10.244.0", of: 6)]
            pod.isReady = below(4) > 0
            pod.nodeName = "n\(below(2))"
            if below(3) == 0 { pod.probes = [HealthProbe(.tcp)] }
            let metadata = ObjectMetadata(name: "p\(below(6))", labels: ["app": "\(below(3))"])
            return KubernetesObject(metadata: metadata, body: .pod(pod), location: Objects.at(1))
        }

        mutating func object() -> KubernetesObject {
            switch below(6) {
            case 0, 1: return service()
            case 2: return pod()
            case 3:
                // Some endpoints are our own frontends, some slices belong to nobody.
                let (name, owner, own) = ("e\(below(4))", "s\(below(6))", address("10.96.0", of: 4))
                let (pod, port) = (address("10.244.0", of: 6), 80 + below(2))
                return Objects.slice(
                    name, of: owner, labels: below(6) == 0 ? ["service.kubernetes.io/headless": ""] : [:], ports: [Objects.port(port)],
                    [EndpointSlice.Endpoint(address: own), EndpointSlice.Endpoint(address: pod, pod: "p\(below(6))")])
            case 4:
                let (name, ready, port) = ("s\(below(5))", address("10.244.0", of: 6), 80 + below(2))
                var subset = Endpoints.Subset()
                (subset.addresses, subset.ports) = ([Endpoints.Address(ready)], [Objects.port(port)])
                return Objects.endpoints(name, [subset])
            default:
                let labels = below(3) == 0 ? [:] : [LocalNode.zoneLabel: "z\(below(2))"]
                let metadata = ObjectMetadata(name: "n\(below(2))", namespace: "", labels: labels)
                return KubernetesObject(metadata: metadata, body: .node(Node()), location: Objects.at(1))
            }
        }

        mutating func change() -> ObjectChange {
            var change = ObjectChange()
            for _ in 0...below(3) {
                if below(3) == 0, let key = objects.keys.sorted().randomElement(using: &random),
                    !change.changed.contains(where: { $0.key == key })
                {
                    objects[key] = nil
                    if !change.removed.contains(key) { change.removed.append(key) }
                } else {
                    let object = object()
                    guard !change.removed.contains(object.key), !change.changed.contains(where: { $0.key == object.key }) else { continue }
                    objects[object.key] = object
                    change.changed.append(object)
                }
            }
            return change
        }
    }

    @Test(arguments: 0..<24 as Range<UInt64>)
    func aChangeComesToWhatTheWholeWould(seed: UInt64) {
        var world = World(random: RandomSource(seed: seed))
        let node = LocalNode(name: "n0")
        var compiler = SnapshotCompiler(node: node)
        for step in 0..<60 {
            let before = compiler.snapshot
            let compilation = compiler.compile(world.change())
            var other = SnapshotCompiler(node: node)
            let whole = other.compile(world.objects.values.sorted { $0.key < $1.key })
            let at: Comment = "seed \(seed), step \(step)"
            let (now, anew) = (compiler.snapshot.frontends, other.snapshot.frontends)
            #expect(Set(now.keys) == Set(anew.keys), at)
            #expect(now.allSatisfy { anew[$0]?.isAs($1) == true }, at)
            #expect(compilation.notices.map(\.description) == whole.notices.map(\.description), at)
            #expect(compilation.totals == whole.totals, at)
            #expect(compilation.probes == whole.probes, at)
            #expect((compilation.snapshot == nil) == (before.generation == compiler.snapshot.generation), at)
            guard let touched = compilation.snapshot?.touched else { continue }
            // No more and no less than what is other than it was.
            let keys = Set(before.frontends.keys).union(now.keys)
            let differing = keys.filter { key in
                guard let was = before.frontends[key], let frontend = now[key] else { return true }
                return !was.routes(as: frontend) || was.origin != frontend.origin
            }
            #expect(touched == differing && !touched.isEmpty, at)
        }
    }
}

extension Frontend {
    /// The same by content.
    fileprivate func isAs(_ other: Frontend) -> Bool {
        key == other.key && origin == other.origin && group.service == other.group.service && group.settings == other.group.settings
            && group.endpoints == other.group.endpoints && isSilent == other.isSilent
    }
}
