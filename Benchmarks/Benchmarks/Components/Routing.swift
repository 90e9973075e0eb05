import Addressing
import Benchmark
import Routing

extension Components {
    static func registerRouting() {
        for count in [3, 1000] {
            let group = group(.random, endpoints: count)
            Benchmark("choose: random of \(count)", configuration: configuration(.kilo)) { benchmark in
                var random = RandomSource(seed: 1)
                for _ in benchmark.scaledIterations { blackHole(group.choose(client: nil, tried: Tried(), random: &random)) }
            }
        }
        for count in [3, 100, 1000] {
            let group = group(.clientIP, endpoints: count)
            Benchmark("choose: client IP of \(count)", configuration: configuration(.kilo)) { benchmark in
                var random = RandomSource(seed: 1)
                for number in benchmark.scaledIterations {
                    let client = IPAddress(ipv4: 0x0a00_0000 + UInt32(number))
                    blackHole(group.choose(client: client, tried: Tried(), random: &random))
                }
            }
        }
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

    private static var service: ServicePortName { ServicePortName(namespace: "default", name: "web", port: "http", transport: .tcp) }

    private static func group(_ selection: Selection, endpoints: Int) -> EndpointGroup {
        EndpointGroup(service: service, selection: selection, endpoints: addresses(endpoints))
    }

    private static func addresses(_ count: Int) -> [SocketAddress] {
        // 8080 is a port.
        (0..<UInt32(count)).map { SocketAddress(IPAddress(ipv4: 0x0af4_0000 + $0), PortNumber(8080)!) }
    }
}
