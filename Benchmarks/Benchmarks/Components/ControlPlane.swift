import Addressing
import Benchmark
import ControlPlane
import ObjectSources
import ServiceModel

extension Components {
    static func registerControlPlane() {
        let services = 10_000
        let objects = objects(yaml(services: services))
        precondition(objects.count == services * 2, "the sample decodes")
        Benchmark("compile 10,000 Services", configuration: configuration()) { benchmark in
            for _ in benchmark.scaledIterations {
                var compiler = SnapshotCompiler()
                blackHole(compiler.compile(objects))
            }
        }
        Benchmark("compile a change of 1 in 10,000", configuration: configuration()) { benchmark in
            var compiler = SnapshotCompiler()
            _ = compiler.compile(objects)
            var other = objects
            // The last Service's slice loses an endpoint, and gets it back.
            other[other.count - 1] = Self.objects(yaml(services: 1, from: services - 1, endpoints: 2))[1]
            benchmark.startMeasurement()
            for iteration in benchmark.scaledIterations {
                let compilation = compiler.compile(iteration.isMultiple(of: 2) ? other : objects)
                precondition(compilation.changes.servicesChanged == 1, "one Service changed")
            }
            benchmark.stopMeasurement()
        }
        for count in [1, 1000] {
            let bytes = Array(yaml(services: count).utf8)
            let name = count == 1 ? "decode YAML of 1 Service and its slice" : "decode YAML of 1,000 Services and their slices"
            Benchmark(name, configuration: configuration()) { benchmark in
                let reader = ManifestReader()
                for _ in benchmark.scaledIterations {
                    blackHole(reader.read(bytes, file: "services.yaml").documents.flatMap(ObjectDecoder.decode))
                }
            }
        }
    }

    /// One after the other a Service and its slice, as decoding makes them.
    private static func objects(_ yaml: String) -> [KubernetesObject] {
        ManifestReader().read(Array(yaml.utf8), file: "services.yaml").documents.flatMap(ObjectDecoder.decode).compactMap(\.object)
    }

    private static func yaml(services: Int, from first: Int = 0, endpoints: Int = 3) -> String {
        (first..<first + services).map { number in
            let (high, low) = (number / 250, number % 250 + 1)
            let addresses = (1...endpoints).map { "- addresses: [10.\(100 + $0).\(high).\(low)]\n" }.joined()
            return """
                apiVersion: v1
                kind: Service
                metadata: {name: web-\(number), namespace: default}
                spec:
                  externalIPs: [10.96.\(high).\(low)]
                  ports: [{name: http, port: 80, targetPort: 8080}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-\(number)-1, namespace: default, labels: {kubernetes.io/service-name: web-\(number)}}
                addressType: IPv4
                ports: [{name: http, port: 8080}]
                endpoints:
                \(addresses)
                """
        }.joined(separator: "---\n")
    }
}
