import Addressing
import ControlPlane
import Foundation
import GRDB
import Testing

@testable import StateStore

/// A directory of the test's own, gone with it.
final class StateDirectory {
    let path = FileManager.default.temporaryDirectory.appending(path: "ringway-state-\(UUID().uuidString)").path

    var file: String { "\(path)/ringway.db" }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// What `StateStore` says when it is to open this.
    func refusal() -> StateStoreError? {
        do throws(StateStoreError) {
            _ = try StateStore(directory: path)
            return nil
        } catch {
            return error
        }
    }

    /// Does something to the database behind the store's back.
    func change(_ sql: String) throws {
        let database = try DatabaseQueue(path: file)
        try database.writeWithoutTransaction { try $0.execute(sql: sql) }
        try database.close()
    }
}

func key(_ name: String) -> ServiceKey { ServiceKey(namespace: "default", name: name) }

func record(
    _ addresses: [String] = [], ports: [String: UInt16] = [:], healthCheck: UInt16? = nil, external: [String] = [], uid: String? = nil,
    goneSince: Int64? = nil
) throws -> AllocationRecord {
    var allocation = Allocation()
    allocation.uid = uid
    allocation.clusterIPs = try addresses.map { try #require(IPAddress($0)) }
    allocation.loadBalancerIPs = try external.map { try #require(IPAddress($0)) }
    allocation.nodePorts = try ports.mapValues { try #require(PortNumber($0)) }
    allocation.healthCheckNodePort = healthCheck.flatMap { PortNumber($0) }
    return AllocationRecord(allocation: allocation, goneSince: goneSince)
}

struct StateStoreTests {
    private let directory = StateDirectory()

    @Test func whatWasSavedIsThereForTheNextProcess() throws {
        let records = [
            key("one"): try record(["10.96.0.10"]),
            key("two"): try record(["fd00::1", "10.96.7.7"], ports: ["": 30_080], uid: "u-1"),
            key("dns"): try record(["10.96.0.11"], ports: ["tcp": 30_053, "udp": 30_053, "web": 31_000], healthCheck: 32_767),
            key("outside"): try record(external: ["2001:db8::1", "192.0.2.1"]),
            key("gone"): try record(ports: ["a": 30_001], goneSince: 1_700_000_000),
            ServiceKey(namespace: "shop", name: "one"): try record(["10.96.0.12"]),
        ]
        do {
            let store = try StateStore(directory: directory.path)
            #expect(try store.records() == [:])
            try store.save(records.mapValues { $0 })
        }
        let store = try StateStore(directory: directory.path)
        #expect(try store.records() == records)

        try store.save([key("one"): nil, key("two"): try record(["fd00::1"]), key("never"): nil])
        var expected = records
        expected[key("one")] = nil
        expected[key("two")] = try record(["fd00::1"])
        #expect(try store.records() == expected)
        let rows = try DatabaseQueue(path: directory.file).read {
            try Int.fetchOne($0, sql: "SELECT (SELECT count(*) FROM clusterIP) + (SELECT count(*) FROM nodePort)")
        }
        #expect(rows == 7, "rows of what is gone are gone, too")
    }

    @Test func oneProcessAtATimeMayWriteAndTheOtherIsToldWhichOneDoes() throws {
        let store = try StateStore(directory: directory.path)
        try store.save([key("a"): try record(["10.96.0.10"])])
        let refusal = directory.refusal()
        #expect(refusal == .inUse(directory: directory.path, pid: getpid()))
        #expect(refusal?.description.contains("in use by process \(getpid()): stop that one") == true)
        #expect(try StateStore.records(in: directory.path).count == 1, "reading is free for all")
        #expect(try store.records().count == 1)
    }

    @Test func readingMakesNothingAndSeesWhatAKilledWriterLeft() throws {
        #expect(try StateStore.records(in: directory.path) == [:])
        #expect(!FileManager.default.fileExists(atPath: directory.path))
        do {
            let store = try StateStore(directory: directory.path)
            try store.save([key("a"): try record(["10.96.0.10"])])
            // As it is on the disk at this moment, with what is still in the write-ahead log.
            for name in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
                let copy = "\(directory.path)/copy"
                try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
                if name != "copy" { try FileManager.default.copyItem(atPath: "\(directory.path)/\(name)", toPath: "\(copy)/\(name)") }
            }
        }
        #expect(try StateStore.records(in: directory.path).count == 1, "after an orderly end")
        #expect(try StateStore.records(in: "\(directory.path)/copy").count == 1, "after another one")
        #expect(try StateStore(directory: "\(directory.path)/copy").records().count == 1)
    }

    @Test func aDatabaseOfAnOlderVersionIsBroughtUpToDate() throws {
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        let old = try DatabaseQueue(path: directory.file)
        try Schema.migrator.migrate(old, upTo: "1 allocations")
        try old.write { database in
            try database.execute(
                sql: """
                    INSERT INTO service VALUES (7, 'default', 'a', NULL, 30001, NULL);
                    INSERT INTO clusterIP VALUES (7, 0, '10.96.0.10');
                    INSERT INTO nodePort VALUES (7, 'web', 30000);
                    """)
        }
        try old.close()
        let store = try StateStore(directory: directory.path)
        #expect(try store.records() == [key("a"): record(["10.96.0.10"], ports: ["web": 30_000], healthCheck: 30_001)])
        try store.save([key("a"): try record(external: ["192.0.2.1"])])
        #expect(try store.records() == [key("a"): record(external: ["192.0.2.1"])])
    }

    @Test func aNewerDatabaseIsLeftAlone() throws {
        _ = try StateStore(directory: directory.path)
        try directory.change("INSERT INTO grdb_migrations VALUES ('99 of another day')")
        #expect(directory.refusal() == .newer(file: directory.file))
        #expect(throws: StateStoreError.newer(file: directory.file)) { try StateStore.records(in: directory.path) }
    }

    @Test(arguments: [
        "no database at all, but some text that is long enough for a header", "cut", "overwritten", "UPDATE nodePort SET port = 0",
    ])
    func aDamagedDatabaseIsNamedAndKeptAsItIs(damage: String) throws {
        do {
            let store = try StateStore(directory: directory.path)
            for number in 0..<200 { try store.save([key("s\(number)"): try record(["10.96.0.10"], ports: ["web": 30_000])]) }
        }
        let whole = try Data(contentsOf: URL(filePath: directory.file))
        var bytes = whole
        switch damage {
        case "cut": bytes = whole.prefix(whole.count / 2)
        case "overwritten": bytes.replaceSubrange(4096..<12_288, with: Data(repeating: 0xa5, count: 8192))
        case _ where damage.hasPrefix("UPDATE"):
            try directory.change(damage)
            bytes = try Data(contentsOf: URL(filePath: directory.file))
        default: bytes = Data(damage.utf8)
        }
        try bytes.write(to: URL(filePath: directory.file))
        do throws(StateStoreError) {
            _ = try StateStore(directory: directory.path).records()
            Issue.record("it was opened")
        } catch {
            guard case .damaged(directory.file, _) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.description.contains("move it away to begin anew"))
        }
        if !damage.hasPrefix("UPDATE") { #expect(try Data(contentsOf: URL(filePath: directory.file)) == bytes) }
    }

    @Test func aDirectoryThatCannotBeMadeIsNamed() throws {
        try Data().write(to: URL(filePath: directory.path))
        guard case .unusable(directory.path, let reason) = directory.refusal() else {
            Issue.record("\(String(describing: directory.refusal()))")
            return
        }
        #expect(reason == "Not a directory")
        let nowhere = "\(directory.path)-nowhere/state"
        #expect(throws: StateStoreError.unusable(directory: nowhere, reason: "No such file or directory")) {
            try StateStore(directory: nowhere)
        }
    }

    @Test func aChangeThatFailsHalfWayLeavesTheStoreAsItWas() throws {
        let store = try StateStore(directory: directory.path)
        let before = [key("a"): try record(["10.96.0.10"], ports: ["p": 30_000])]
        try store.save(before.mapValues { $0 })
        try directory.change("CREATE TRIGGER no BEFORE INSERT ON nodePort WHEN NEW.port = 666 BEGIN SELECT RAISE(ABORT, 'no'); END")
        #expect(throws: StateStoreError.failed(file: directory.file, reason: "no")) {
            try store.save([key("a"): nil, key("b"): try record(["10.96.0.11"]), key("c"): try record(ports: ["x": 666])])
        }
        #expect(try store.records() == before)
    }
}
