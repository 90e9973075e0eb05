import Addressing
import Benchmark
import Routing

extension Components {
    static func registerRouting() {
        registerChoosing(.random, "random", [3, 1000])
        registerChoosing(.random, "random by weight", [3, 1000], weighted: true)
        registerChoosing(.roundRobin, "round robin", [3, 1000])
        registerChoosing(.roundRobin, "round robin by weight", [3, 1000], weighted: true)
        registerChoosing(.leastConnections, "least connections", [3, 1000])
        registerChoosing(.clientIP, "client IP", [3, 100, 1000])
        registerChoosing(.clientIP, "client IP by weight", [3, 100, 1000], weighted: true)
        for count in [3, 100, 1000] {
            let addresses = addresses(count)
            let service = service
            Benchmark("build a group of \(count)", configuration: configuration()) { benchmark in
                for _ in benchmark.scaledIterations {
                    blackHole(EndpointGroup(service: service, selection: .clientIP, endpoints: addresses))
                }
            }
        }
    }

    private static func registerChoosing(_ selection: Selection, _ name: String, _ counts: [Int], weighted: Bool = false) {
        for count in counts {
            let group = group(selection, endpoints: count, weighted: weighted)
            Benchmark("choose: \(name) of \(count)", configuration: configuration(.kilo)) { benchmark in
                var random = RandomSource(seed: 1)
                var turn = Turn()
                for number in benchmark.scaledIterations {
                    let client = IPAddress(ipv4: 0x0a00_0000 + UInt32(number))
                    // As if connections differed between endpoints; reading the real counters is the worker's part.
                    blackHole(group.choose(client: client, tried: Tried(), turn: &turn, random: &random) { $0 & 7 })
                }
            }
        }
    }

    private static var service: ServicePortName { ServicePortName(namespace: "default", name: "web", port: "http", transport: .tcp) }

    private static func group(_ selection: Selection, endpoints: Int, weighted: Bool) -> EndpointGroup {
        var settings = EndpointGroup.Settings()
        settings.selection = selection
        let endpoints = addresses(endpoints).enumerated().map { Endpoint($1, weight: weighted ? 1 + $0 % 5 : 1) }
        return EndpointGroup(service: service, settings: settings, endpoints: endpoints)
    }

    private static func addresses(_ count: Int) -> [SocketAddress] {
        // 8080 is a port.
        (0..<UInt32(count)).map { SocketAddress(IPAddress(ipv4: 0x0af4_0000 + $0), PortNumber(8080)!) }
    }
}
