import Addressing
import ControlPlane
import Foundation
import Glibc
import StateStore
import Testing

/// What Services were given outlives the process, however it ends.
extension EndToEndTests {
    @Suite struct StateTests {
        /// What was given, as `ringway get` shows it or as it stands in the store.
        struct Given: Hashable {
            var address: String
            var nodePort: Int
        }

        private struct List: Decodable {
            struct Item: Decodable {
                struct Metadata: Decodable { var name: String }
                struct Spec: Decodable {
                    struct Port: Decodable { var nodePort: Int? }
                    var clusterIP: String
                    var ports: [Port]
                }
                var metadata: Metadata
                var spec: Spec
            }
            var items: [Item]
        }

        /// Without endpoints it has no listener, so that a thousand of them take no ports of the machine.
        private static func service(_ name: String, _ spec: String = "") -> String {
            """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name)}
            spec: {type: NodePort, \(spec)ports: [{port: 80}]}

            """
        }

        private static func start(_ directory: TemporaryDirectory, _ sources: [String], _ options: [String] = []) throws -> RunningRingway {
            try RunningRingway(
                "epoll", sources,
                options: ["--state-directory", directory.path("state"), "--node-port-range", "30000-32767", "--workers", "1"] + options,
                directory: directory)
        }

        private static func shown(by ringway: RunningRingway) throws -> [String: Given] {
            let outcome = try ChildProcess.run([RunningRingway.binary, "get", "svc", "-o", "json", "--admin-socket", ringway.adminSocket])
            guard outcome.isSuccess else { throw ChildProcess.Failure(description: outcome.error) }
            // Without any there is no list.
            guard !outcome.output.isEmpty else { return [:] }
            let items = try JSONDecoder().decode(List.self, from: Data(outcome.output.utf8)).items
            return Dictionary(
                uniqueKeysWithValues: items.map {
                    ($0.metadata.name, Given(address: $0.spec.clusterIP, nodePort: $0.spec.ports.first?.nodePort ?? 0))
                })
        }

        private static func kept(in directory: TemporaryDirectory) throws -> [String: AllocationRecord] {
            let records = try StateStore.records(in: directory.path("state"))
            return Dictionary(uniqueKeysWithValues: records.map { ($0.key.name, $0.value) })
        }

        private static func given(_ record: AllocationRecord) -> Given {
            Given(
                address: record.allocation.clusterIPs.map(\.description).joined(separator: ","),
                nodePort: record.allocation.nodePorts.values.first.map { Int($0.rawValue) } ?? 0)
        }

        @Test func aKillAmidAThousandAppliesChangesNothingThatWasShown() throws {
            let directory = try TemporaryDirectory()
            let folder = directory.path("services")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            var random = SystemRandomNumberGenerator()
            var known: [String: Given] = [:]
            let (rounds, perRound) = (10, 100)
            for round in 0..<rounds {
                let ringway = try Self.start(directory, [folder])
                defer { ringway.process.end() }
                try #require(ringway.process.isRunning, "\(ringway.log)")
                let atStart = try Self.shown(by: ringway)
                for (name, given) in known { #expect(atStart[name] == given, "\(name) after kill \(round)") }
                // Files come one by one, and the end comes somewhere among them.
                let end = Int.random(in: 1..<perRound, using: &random)
                for number in 0..<perRound {
                    let name = "s\(round * perRound + number)"
                    try directory.write(Self.service(name), to: "services/\(name).yaml")
                    if number == end {
                        known.merge(try Self.shown(by: ringway)) { $1 }
                        usleep(UInt32.random(in: 0..<30_000, using: &random))
                        kill(ringway.process.identifier, SIGKILL)
                        #expect(try ringway.process.wait() == .signal(SIGKILL))
                    }
                }
                let kept = try Self.kept(in: directory)
                for (name, given) in known { #expect(kept[name].map(Self.given) == given, "\(name) was shown and not kept") }
            }
            let ringway = try Self.start(directory, [folder])
            defer { ringway.process.end() }
            let all = try Self.shown(by: ringway)
            #expect(all.count == rounds * perRound)
            #expect(known.allSatisfy { all[$0.key] == $0.value } && known.count > rounds)
            #expect(Set(all.values.map(\.address)).count == all.count && Set(all.values.map(\.nodePort)).count == all.count)
            #expect(try Self.kept(in: directory).mapValues(Self.given) == all)
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
            #expect(try Self.kept(in: directory).mapValues(Self.given) == all)
        }

        @Test func aReloadTakesOnlyWhatChangedAndARefusedServiceLeavesNothing() throws {
            let directory = try TemporaryDirectory()
            try directory.write(Self.service("a") + "---\n" + Self.service("b"), to: "f.yaml")
            let ringway = try Self.start(directory, [directory.path("f.yaml")])
            defer { ringway.process.end() }
            let first = try Self.shown(by: ringway)
            #expect(first.count == 2 && first.values.allSatisfy { $0.nodePort >= 30_086 && $0.address.hasPrefix("10.") })
            try directory.replace(
                "f.yaml",
                with: [Self.service("a"), Self.service("c"), Self.service("bad", "sessionAffinity: Perhaps, ")].joined(separator: "---\n"))
            try waitUntil("c is there") { try Self.shown(by: ringway)["c"] != nil }
            let second = try Self.shown(by: ringway)
            #expect(second["a"] == first["a"] && second.count == 2)
            let kept = try Self.kept(in: directory)
            #expect(Set(kept.keys) == ["a", "b", "c"])
            #expect(kept["b"]?.goneSince != nil && kept["a"]?.goneSince == nil)
            #expect(kept["b"].map(Self.given) == first["b"])
            // An editor that deletes and creates.
            try directory.replace("f.yaml", with: Self.service("b"))
            try waitUntil("b is there") { try Self.shown(by: ringway)["b"] != nil }
            #expect(try Self.shown(by: ringway) == ["b": first["b"]])
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
        }

        @Test func addressesAreReleasedTenMinutesAfterTheirServiceAlsoWhileNothingHappens() throws {
            let directory = try TemporaryDirectory()
            var old = Allocation()
            old.clusterIPs = [try #require(IPAddress("10.96.0.77"))]
            do {
                let store = try StateStore(directory: directory.path("state"))
                // Its ten minutes are over three seconds after now.
                let since = Int64(Date().timeIntervalSince1970) - 597
                try store.save([ServiceKey(namespace: "default", name: "old"): AllocationRecord(allocation: old, goneSince: since)])
            }
            try directory.write(Self.service("a"), to: "f.yaml")
            let ringway = try Self.start(directory, [directory.path("f.yaml")])
            defer { ringway.process.end() }
            try waitUntil("it is released", within: .seconds(60)) { try Set(Self.kept(in: directory).keys) == ["a"] }
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
        }

        @Test func oneProcessHasADirectoryAndAnotherIsToldWhichOne() throws {
            let directory = try TemporaryDirectory()
            try directory.write(Self.service("a"), to: "f.yaml")
            let first = try Self.start(directory, [directory.path("f.yaml")])
            defer { first.process.end() }
            let second = try Self.start(directory, [directory.path("f.yaml")])
            defer { second.process.end() }
            #expect(second.process.poll() == .code(1))
            #expect(second.log.contains("is in use by process \(first.process.identifier): stop that one, or give"), "\(second.log)")
            first.process.end()
            let third = try Self.start(directory, [directory.path("f.yaml")])
            defer { third.process.end() }
            #expect(third.process.isRunning, "\(third.log)")
        }

        @Test func aSourceThatCannotBeReadAtTheStartTakesNothingFromItsServices() throws {
            let directory = try TemporaryDirectory()
            try directory.write(Self.service("a"), to: "a.yaml")
            try directory.write(Self.service("b"), to: "b.yaml")
            let files = [directory.path("a.yaml"), directory.path("b.yaml")]
            var first: [String: Given] = [:]
            do {
                let ringway = try Self.start(directory, files)
                defer { ringway.process.end() }
                first = try Self.shown(by: ringway)
            }
            try FileManager.default.moveItem(atPath: files[0], toPath: directory.path("elsewhere"))
            let ringway = try Self.start(directory, files)
            defer { ringway.process.end() }
            #expect(try Self.shown(by: ringway) == ["b": first["b"]])
            #expect(try Self.kept(in: directory)["a"]?.goneSince == nil, "nobody knows that it is gone")
            try FileManager.default.moveItem(atPath: directory.path("elsewhere"), toPath: files[0])
            try waitUntil("a is there again") { try Self.shown(by: ringway) == first }
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
        }

        @Test func checkReadsWhatARunningProcessKeepsAndLeavesItAlone() throws {
            let directory = try TemporaryDirectory()
            try directory.write(Self.service("a"), to: "f.yaml")
            let ringway = try Self.start(directory, [directory.path("f.yaml")])
            defer { ringway.process.end() }
            let given = try #require(try Self.shown(by: ringway)["a"])
            let before = try Self.kept(in: directory)
            let both = try directory.write(
                Self.service("a") + "---\n" + Self.service("b", "clusterIP: \(given.address), "), to: "both.yaml")
            func check(_ options: String...) throws -> ChildProcess.Outcome {
                try ChildProcess.run([RunningRingway.binary, "check", both] + options)
            }
            let outcome = try check("--state-directory", directory.path("state"))
            #expect(outcome.exit == .code(1) && outcome.error.contains("provided IP is already allocated"), "\(outcome.error)")
            #expect(try check().isSuccess, "without it nothing is known")
            #expect(try check("--state-directory", directory.path("nothing")).isSuccess)
            #expect(!FileManager.default.fileExists(atPath: directory.path("nothing")))
            #expect(try Self.kept(in: directory) == before)
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
        }

        @Test func aDamagedDatabaseEndsTheStartWithItsName() throws {
            let directory = try TemporaryDirectory()
            try FileManager.default.createDirectory(atPath: directory.path("state"), withIntermediateDirectories: true)
            try directory.write(String(repeating: "not a database ", count: 1000), to: "state/ringway.db")
            try directory.write(Self.service("a"), to: "f.yaml")
            let ringway = try Self.start(directory, [directory.path("f.yaml")])
            defer { ringway.process.end() }
            #expect(ringway.process.poll() == .code(1))
            #expect(ringway.log.contains("\(directory.path("state"))/ringway.db is damaged"), "\(ringway.log)")
            let check = try ChildProcess.run(
                [RunningRingway.binary, "check", directory.path("f.yaml"), "--state-directory", directory.path("state")])
            #expect(check.exit == .code(1) && check.error.contains("ringway.db is damaged"), "\(check.error)")
        }
    }
}
