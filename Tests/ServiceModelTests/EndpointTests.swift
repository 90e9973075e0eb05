import Addressing
import Testing

@testable import ServiceModel

struct EndpointSliceTests {
    @Test func absentConditionsMeanReady() throws {
        let conditions: [Tree] = [nil, [:], ["ready": nil], ["ready": true], ["ready": false, "serving": true, "terminating": true]]
        let endpoints = conditions.map { Tree.map([("addresses", ["10.0.0.1"]), ("conditions", $0)]) }
        let slice = try #require(decodedSlice(slice(endpoints: .list(endpoints))))
        #expect(slice.endpoints.map(\.ready) == [true, true, true, true, false])
        #expect(slice.endpoints.map(\.serving) == [true, true, true, true, true])
        #expect(slice.endpoints.map(\.terminating) == [false, false, false, false, true])
        #expect(slice.serviceName == "web" && slice.addressFamily == .ipv4)
    }

    @Test func onlyTheFirstAddressCountsAndTheWarningNamesTheFix() throws {
        let node = slice(endpoints: [["addresses": ["10.0.0.1", "10.0.0.2"]]])
        #expect(try #require(decodedSlice(node)).endpoints.map(\.address.description) == ["10.0.0.1"])
        #expect(
            warnings(node) == [
                "EndpointSlice.discovery.k8s.io \"web-1\": endpoints[0].addresses: holds 2 addresses, of which only the first is used; "
                    + "for more endpoints write one entry of `endpoints` each"
            ])
    }

    @Test func loopbackIsAccepted() throws {
        let endpoints = try #require(decodedSlice(slice(endpoints: [["addresses": ["127.0.0.1"]]]))).endpoints
        #expect(endpoints.map(\.address) == [.loopbackIPv4])
    }

    @Test func portsWithoutANumberAreKeptWithoutOne() throws {
        let node = slice(endpoints: [], ports: [["name": "a", "port": 80], ["name": "b"], ["name": "c", "port": 0, "protocol": "UDP"]])
        let ports = try #require(decodedSlice(node)).ports
        #expect(ports.map(\.port) == [PortNumber(80), nil, nil])
        #expect(ports.map(\.transport) == [.tcp, .tcp, .udp])
        #expect(warnings(node).count == 2)
    }

    @Test func namesOfAClusterAreReadWithoutAWord() throws {
        let node = slice(endpoints: [["addresses": ["pod-1.example.com"]]], addressType: "FQDN")
        let slice = try #require(decodedSlice(node))
        #expect(slice.addressFamily == nil && slice.endpoints.isEmpty)
        #expect(errors(node) == [])
    }

    @Test func anEndpointsHostnameIsRead() throws {
        let node = slice(endpoints: [["addresses": ["10.0.0.1"], "hostname": "web-0"], ["addresses": ["10.0.0.2"]]])
        #expect(try #require(decodedSlice(node)).endpoints.map(\.hostname) == ["web-0", nil])
    }

    struct Invalid: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let endpoints: Tree
        var ports: Tree = [["port": 80]]
        var addressType: Tree = "IPv4"
        let causes: [String]
    }

    static let invalid: [Invalid] = [
        Invalid(
            testDescription: "no domain names",
            endpoints: [
                [
                    "addresses": [
                        "", "pod", "pod-1.example.com.", "Pod.example.com", .string("\(String(repeating: "a", count: 64)).example"),
                    ]
                ]
            ],
            addressType: "FQDN",
            causes: [
                "endpoints[0].addresses[0]: Required value",
                "endpoints[0].addresses[1]: Invalid value: \"pod\": should be a domain with at least two segments separated by dots",
                "endpoints[0].addresses[3]: Invalid value: \"Pod.example.com\": a lowercase RFC 1123 subdomain must consist of lower case "
                    + "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
                    + "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "endpoints[0].addresses[4]: Invalid value: \"\(String(repeating: "a", count: 64))\": must be no more than 63 characters",
            ]),
        Invalid(
            testDescription: "no address", endpoints: [["addresses": []], [:]],
            causes: [
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
            ]),
        Invalid(
            testDescription: "the other family", endpoints: [["addresses": ["10.0.0.1"]], ["addresses": ["fd00::1"]]],
            causes: ["endpoints[1].addresses[0]: Invalid value: \"fd00::1\": must be a valid IPv4 address"]),
        Invalid(
            testDescription: "no address type", endpoints: [], addressType: nil, causes: ["addressType: Required value"]),
        Invalid(
            testDescription: "an unknown address type", endpoints: [["addresses": ["10.0.0.1"]]], addressType: "ipv4",
            causes: ["addressType: Unsupported value: \"ipv4\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""]),
        Invalid(
            testDescription: "bad ports", endpoints: [],
            ports: [["name": "A", "port": 65536], ["name": "b"], ["name": "b", "protocol": "x"]],
            causes: [
                "ports[0].name: Invalid value: \"A\": "
                    + "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                    + "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
                    + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive",
                "ports[2].name: Duplicate value: \"b\"",
                "ports[2].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ]),
        Invalid(
            testDescription: "too many endpoints", endpoints: .list(Array(repeating: ["addresses": ["10.0.0.1"]], count: 1001)),
            causes: ["endpoints: Too many: 1001: must have at most 1000 items"]),
    ]

    @Test(arguments: invalid)
    func isInvalidInTheWordsOfAnAPIServer(_ invalid: Invalid) {
        let node = slice(endpoints: invalid.endpoints, ports: invalid.ports, addressType: invalid.addressType)
        #expect(errors(node) == invalid.causes.map { "EndpointSlice.discovery.k8s.io \"web-1\" is invalid: \($0)" })
    }

    @Test func aSliceOfNoServiceIsAWarning() {
        let node: Tree = [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": ["name": "x"], "addressType": "IPv4", "endpoints": [],
        ]
        #expect(warnings(node.node).count == 1)
        #expect(decodedSlice(node.node)?.serviceName == nil)
    }
}

struct EndpointsTests {
    private func endpoints(_ subsets: Tree) -> DocumentNode {
        let tree: Tree = ["apiVersion": "v1", "kind": "Endpoints", "metadata": ["name": "web"], "subsets": subsets]
        return tree.node
    }

    @Test func subsetsAreRead() throws {
        let node = endpoints([
            [
                "addresses": [["ip": "127.0.0.1", "nodeName": "a", "targetRef": ["kind": "Pod", "name": "web-0"]]],
                "notReadyAddresses": [["ip": "fd00::1", "hostname": "h"]],
                "ports": [["port": 80]],
            ]
        ])
        guard case .endpoints(let endpoints)? = decoded(node)?.body else {
            Issue.record("refused: \(errors(node))")
            return
        }
        let subset = try #require(endpoints.subsets.first)
        var address = Endpoints.Address(.loopbackIPv4)
        (address.nodeName, address.pod) = ("a", "web-0")
        #expect(subset.addresses == [address])
        #expect(subset.notReadyAddresses.map(\.address.description) == ["fd00::1"] && subset.notReadyAddresses[0].hostname == "h")
        #expect(subset.ports.map(\.port) == [PortNumber(80)])
    }

    @Test func isInvalidInTheWordsOfAnAPIServer() {
        let node = endpoints([["ports": [["port": 80], ["name": "b", "port": 0]]], ["addresses": [[:]]]])
        let expected = [
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`", "subsets[0].ports[0].name: Required value",
            "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "subsets[1].addresses[0].ip: Invalid value: \"\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ]
        #expect(errors(node) == expected.map { "Endpoints \"web\" is invalid: \($0)" })
    }
}
