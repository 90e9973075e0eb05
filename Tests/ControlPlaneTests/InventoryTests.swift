import Addressing
import ServiceModel
import Testing

@testable import ControlPlane

struct InventoryTests {
    private static func inventory(_ objects: [KubernetesObject], now: Int64 = 1000) -> Inventory {
        var inventory = Inventory()
        var compiler = SnapshotCompiler()
        _ = compiler.compile(objects)
        inventory.update(
            ObjectChange(changed: objects), changed: compiler.servicesChanged, removed: compiler.servicesRemoved, now: now)
        return inventory
    }

    private static func cells(_ kind: ResourceKind, _ objects: [KubernetesObject]) -> [[String]] {
        inventory(objects).rows(of: kind).map { $0.cells(of: kind, now: 1005) }
    }

    // MARK: Services

    @Test func aServiceOfEachTypeIsPrintedAsKubectlDoes() {
        let web = Objects.service("web") {
            $0.clusterIPs = [Objects.ip("10.96.12.7"), Objects.ip("fd00::7")]
            $0.ports = [Objects.servicePort(80, "http"), Objects.servicePort(53, "dns", .udp)]
            $0.selector = ["tier": "front", "app": "web"]
        }
        let node = Objects.service("node") {
            $0.type = .nodePort
            $0.clusterIPs = [Objects.ip("10.96.12.8")]
            $0.externalIPs = [Objects.ip("192.0.2.1"), Objects.ip("192.0.2.2")]
            $0.ports = [Objects.servicePort(8080, nodePort: 30914)]
        }
        let pending = Objects.service("lb-pending") {
            $0.type = .loadBalancer
            $0.clusterIPs = [Objects.ip("10.96.12.9")]
            $0.ports = [Objects.servicePort(443, nodePort: 31443)]
        }
        let balanced = Objects.service("lb") {
            $0.type = .loadBalancer
            $0.clusterIPs = [Objects.ip("10.96.12.10")]
            $0.loadBalancerIPs = [Objects.ip("198.51.100.2"), Objects.ip("198.51.100.1")]
            $0.externalIPs = [Objects.ip("192.0.2.3")]
            $0.ports = [Objects.servicePort(443)]
        }
        let headless = Objects.service("headless") { $0.isHeadless = true }
        let alias = Objects.service("alias") {
            $0.type = .externalName
            $0.externalName = "db.example.com"
        }
        #expect(
            Self.cells(.services, [web, node, pending, balanced, headless, alias]) == [
                ["alias", "ExternalName", "<none>", "db.example.com", "<none>", "5s", "<none>"],
                ["headless", "ClusterIP", "None", "<none>", "<none>", "5s", "<none>"],
                ["lb", "LoadBalancer", "10.96.12.10", "198.51.100.1,198.51.100.2,192.0.2.3", "443/TCP", "5s", "<none>"],
                ["lb-pending", "LoadBalancer", "10.96.12.9", "<pending>", "443:31443/TCP", "5s", "<none>"],
                ["node", "NodePort", "10.96.12.8", "192.0.2.1,192.0.2.2", "8080:30914/TCP", "5s", "<none>"],
                ["web", "ClusterIP", "10.96.12.7", "<none>", "80/TCP,53/UDP", "5s", "app=web,tier=front"],
            ])
    }

    @Test func rowsAreSortedAndFoundByNamespaceAndName() {
        let inventory = Self.inventory([
            Objects.service("b") { _ in }, Objects.service("a") { _ in }, Objects.service("b", namespace: "aa") { _ in },
        ])
        #expect(inventory.rows(of: .services).map { "\($0.namespace)/\($0.name)" } == ["aa/b", "default/a", "default/b"])
        #expect(inventory.rows(of: .services, namespace: "default").map(\.name) == ["a", "b"])
        #expect(inventory.rows(of: .services, namespace: "aa", name: "b").count == 1)
        #expect(inventory.rows(of: .services, namespace: "aa", name: "a").isEmpty)
    }

    // MARK: Age

    @Test(arguments: [
        (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (121, "2m1s"), (599, "9m59s"), (600, "10m"), (10_799, "179m"),
        (10_800, "3h"), (10_860, "3h1m"), (28_799, "7h59m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"), (176_400, "2d1h"),
        (691_199, "7d23h"), (691_200, "8d"), (63_071_999, "729d"), (63_072_000, "2y"), (63_158_400, "2y1d"), (252_287_999, "7y364d"),
        (252_288_000, "8y"), (500_000_000, "15y"),
    ])
    func anAgeIsWrittenAsKubectlDoes(seconds: Int64, text: String) {
        #expect(ageText(seconds: seconds) == text)
    }

    @Test func theAgeIsThatOfTheObjectElseSinceItWasMet() {
        var compiler = SnapshotCompiler()
        var inventory = Inventory()
        func update(_ objects: [KubernetesObject], now: Int64) -> [Int64?] {
            _ = compiler.compile(objects)
            inventory.update(
                ObjectChange(from: inventory.keys, to: objects), changed: compiler.servicesChanged, removed: compiler.servicesRemoved,
                now: now)
            return inventory.rows(of: .services).map(\.created)
        }
        var metadata = ObjectMetadata(name: "old")
        metadata.creationTimestamp = Timestamp(seconds: 7)
        let old = KubernetesObject(metadata: metadata, body: .service(Service()), location: Objects.at(1))
        let web = Objects.echo("web", "127.0.0.1:80", ["10.0.0.1:80"])
        #expect(update([old, web], now: 100) == [7, 100])
        #expect(update([old, Objects.echo("web", "127.0.0.1:81", ["10.0.0.1:80"])], now: 200) == [7, 100], "a change is no new object")
        #expect(update([old], now: 300) == [7])
        #expect(update([old, web], now: 400) == [7, 400], "one that was gone is")
        #expect(inventory.version == 4)
    }

    // MARK: Whole Services

    @Test func aServiceIsWrittenWithWhatWasGivenAndFilledIn() {
        let web = Objects.service("web", labels: ["on": "1"]) {
            $0.clusterIPs = [Objects.ip("10.96.12.7")]
            $0.ports = [Objects.servicePort(80, "http", nodePort: 30080)]
            $0.type = .nodePort
            $0.selector = ["app": "web"]
            $0.externalTrafficPolicy = .local
        }
        let inventory = Self.inventory([web, Objects.service("db", namespace: "shop") { _ in }])
        #expect(
            inventory.services(as: .yaml, namespace: "default", name: "web") == """
                apiVersion: v1
                kind: Service
                metadata:
                  creationTimestamp: "1970-01-01T00:16:40Z"
                  labels:
                    "on": "1"
                  name: web
                  namespace: default
                spec:
                  clusterIP: 10.96.12.7
                  clusterIPs:
                  - 10.96.12.7
                  externalTrafficPolicy: Local
                  internalTrafficPolicy: Cluster
                  ports:
                  - name: http
                    nodePort: 30080
                    port: 80
                    protocol: TCP
                    targetPort: 80
                  selector:
                    app: web
                  sessionAffinity: None
                  type: NodePort

                """)
        #expect(inventory.services(as: .json, namespace: "default", name: "db") == nil)
        let list = inventory.services(as: .json, namespace: "shop")
        #expect(list?.hasPrefix("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {\n") == true)
        #expect(list?.contains("\"name\": \"db\"") == true && list?.contains("\"web\"") == false)
        #expect(list?.hasSuffix("    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n") == true)
        #expect(inventory.services(as: .yaml, namespace: "none")?.contains("items: []") == true)
    }

    // MARK: Endpoints

    @Test func endpointsAreThoseThatAreReadyWhereverTheyWereGiven() {
        let objects = [
            Objects.echo("inline", "127.0.0.1:80", ["10.0.0.2:80", "10.0.0.1:80"]),
            Objects.service("sliced") { $0.ports = [Objects.servicePort(80)] },
            Objects.slice("sliced-1", of: "sliced", [Objects.ready("10.0.1.4"), Objects.unready("10.0.1.9"), Objects.ready("10.0.1.1")]),
            Objects.slice("sliced-2", of: "sliced", [Objects.ready("10.0.1.2"), Objects.ready("10.0.1.3"), Objects.ready("10.0.1.1")]),
            Objects.service("none") { $0.ports = [Objects.servicePort(80)] },
            Objects.echo("two-ports", "127.0.0.1:81", ["10.0.6.1:80", "10.0.6.1:443", "10.0.6.2:80"]),
            Objects.service("classic") { $0.ports = [Objects.servicePort(80)] },
            Objects.endpoints("classic", [Self.subset(["10.0.2.1"], [443])]),
            Objects.endpoints("alone", [Self.subset(["10.0.3.1"], [])]),
            Objects.service("alias") { $0.type = .externalName },
            Objects.service("headless") { $0.isHeadless = true },
            Objects.slice("headless-1", of: "headless", ports: [], [Objects.ready("10.0.4.2"), Objects.ready("10.0.4.1")]),
            Objects.service("selecting") {
                $0.ports = [Objects.servicePort(80)]
                $0.selector = ["app": "web"]
            },
            Self.pod("web-0", "10.0.5.1", isReady: true), Self.pod("web-1", "10.0.5.2", isReady: false),
        ]
        #expect(
            Self.cells(.endpoints, objects) == [
                ["alone", "10.0.3.1", "<unknown>"],
                ["classic", "10.0.2.1:443", "5s"],
                ["headless", "10.0.4.1,10.0.4.2", "5s"],
                ["inline", "10.0.0.1:80,10.0.0.2:80", "5s"],
                ["none", "<none>", "5s"],
                ["selecting", "10.0.5.1:80", "5s"],
                ["sliced", "10.0.1.1:8080,10.0.1.2:8080,10.0.1.3:8080 + 1 more...", "5s"],
                ["two-ports", "10.0.6.1:80,10.0.6.2:80,10.0.6.1:443", "5s"],
            ])
    }

    private static func pod(_ name: String, _ address: String, isReady: Bool) -> KubernetesObject {
        var pod = Pod()
        pod.addresses = [Objects.ip(address)]
        pod.isReady = isReady
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, labels: ["app": "web"]), body: .pod(pod), location: Objects.at(1))
    }

    private static func subset(_ addresses: [String], _ ports: [Int]) -> Endpoints.Subset {
        var subset = Endpoints.Subset()
        subset.addresses = addresses.map { Endpoints.Address(Objects.ip($0)) }
        subset.ports = ports.map { Objects.port($0) }
        return subset
    }

    @Test func slicesArePrintedAsKubectlDoes() {
        let objects = [
            Objects.service("web") { $0.ports = [Objects.servicePort(80)] },
            Objects.slice(
                "web-1", of: "web", ports: [Objects.port(8080), Objects.port(nil, "any")], (1...5).map { Objects.ready("10.0.0.\($0)") }),
            Objects.slice("web-2", of: "web", family: .ipv6, ports: [], []),
            Objects.slice("web-3", of: nil, family: nil, []),
        ]
        #expect(
            Self.cells(.endpointslices, objects) == [
                ["web-1", "IPv4", "8080,*", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "5s"],
                ["web-2", "IPv6", "<unset>", "<unset>", "5s"],
                ["web-3", "FQDN", "8080", "<unset>", "<unknown>"],
            ])
    }

    @Test(arguments: [
        ("svc", ResourceKind.services), ("Services", .services), ("ep", .endpoints), ("endpointslice", .endpointslices), ("pods", nil),
    ])
    func kindsHaveTheirShortNames(name: String, kind: ResourceKind?) {
        #expect(ResourceKind(named: name) == kind)
    }
}
