import Addressing
import ServiceModel
import Testing

@testable import ControlPlane

/// Which endpoints may be used from a node: the project's own cases, and those of an API server's proxy where they are at hand.
struct EndpointChoiceTests {
    private static func address(_ number: Int) -> SocketAddress { SocketAddress("10.0.0.\(number):80")! }

    /// Endpoints by number: what is said of each.
    private static func choice(_ endpoints: [Int: EndpointSlice.Endpoint], _ name: String? = "here", zone: String? = "a") -> EndpointChoice
    {
        let candidates = Dictionary(uniqueKeysWithValues: endpoints.map { (address($0.key), EndpointCandidate($0.value)) })
        return EndpointChoice(candidates, on: LocalNode(name: name, zone: zone))
    }

    private static func endpoint(
        _ node: String? = nil, zones: [String] = [], nodes: [String] = [], _ change: (inout EndpointSlice.Endpoint) -> Void = { _ in }
    ) -> EndpointSlice.Endpoint {
        var endpoint = EndpointSlice.Endpoint(address: .loopbackIPv4, nodeName: node, zoneHints: zones, nodeHints: nodes)
        change(&endpoint)
        return endpoint
    }

    private static func leaving(_ node: String? = nil, serving: Bool = true) -> EndpointSlice.Endpoint {
        endpoint(node) { ($0.ready, $0.serving, $0.terminating) = (false, serving, true) }
    }

    private func expect(
        _ choice: EndpointChoice, cluster: [Int], local: [Int], hasAny: Bool = true, _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        #expect(choice.cluster == cluster.map(Self.address) && choice.local == local.map(Self.address), sourceLocation: location)
        #expect(choice.hasAny == hasAny, sourceLocation: location)
    }

    @Test func localIsWhatIsOnThisNodeAndNothingElse() {
        let endpoints = [1: Self.endpoint("here"), 2: Self.endpoint("there"), 3: Self.endpoint(nil)]
        expect(Self.choice(endpoints), cluster: [1, 2, 3], local: [1])
        expect(Self.choice(endpoints, nil), cluster: [1, 2, 3], local: [])
    }

    @Test func whatTerminatesIsUsedWhereNothingIsReady() {
        expect(Self.choice([1: Self.leaving("here"), 2: Self.endpoint("there")]), cluster: [2], local: [1])
        expect(Self.choice([1: Self.leaving("here"), 2: Self.leaving("there")]), cluster: [1, 2], local: [1])
        expect(Self.choice([1: Self.leaving("here", serving: false)]), cluster: [], local: [], hasAny: false)
        expect(Self.choice([1: Self.endpoint("here"), 2: Self.leaving("here")]), cluster: [1], local: [1])
    }

    @Test func hintsCountWhereEveryReadyEndpointHasThemAndOneNamesThisPlace() {
        let a = Self.endpoint(zones: ["a"])
        let b = Self.endpoint(zones: ["b"])
        expect(Self.choice([1: a, 2: b]), cluster: [1], local: [])
        expect(Self.choice([1: a, 2: b], zone: nil), cluster: [1, 2], local: [])
        expect(Self.choice([1: a, 2: b], zone: "c"), cluster: [1, 2], local: [])
        expect(Self.choice([1: a, 2: b, 3: Self.endpoint()]), cluster: [1, 2, 3], local: [])
        // One that isn't ready has no say.
        expect(Self.choice([1: a, 2: b, 3: Self.leaving()]), cluster: [1], local: [])
    }

    @Test func aNodeGoesBeforeItsZoneAndLocalAsksNoHint() {
        let here = Self.endpoint("here", zones: ["a"], nodes: ["here"])
        let near = Self.endpoint("there", zones: ["a"], nodes: ["there"])
        let far = Self.endpoint("far", zones: ["b"], nodes: ["far"])
        expect(Self.choice([1: here, 2: near, 3: far]), cluster: [1], local: [1])
        expect(Self.choice([2: near, 3: far]), cluster: [2], local: [])
        expect(Self.choice([1: Self.endpoint("here", zones: ["b"]), 2: near]), cluster: [2], local: [1])
    }
}
