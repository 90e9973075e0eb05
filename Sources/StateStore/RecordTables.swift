internal import Addressing
internal import ControlPlane
internal import GRDB

/// Allocations as rows, and rows as allocations.
enum RecordTables {
    /// A row that this version would never write.
    struct Unreadable: Error {
        let reason: String
    }

    static func records(_ database: Database) throws -> [ServiceKey: AllocationRecord] {
        var records: [Int64: (key: ServiceKey, record: AllocationRecord)] = [:]
        for row in try Row.fetchAll(database, sql: "SELECT * FROM service") {
            var allocation = Allocation()
            allocation.uid = row["uid"]
            allocation.healthCheckNodePort = try (row["healthCheckNodePort"] as Int64?).map(port)
            let key = ServiceKey(namespace: row["namespace"], name: row["name"])
            records[row["id"]] = (key, AllocationRecord(allocation: allocation, goneSince: row["goneSince"]))
        }
        for row in try Row.fetchAll(database, sql: "SELECT * FROM clusterIP ORDER BY serviceID, position") {
            records[row["serviceID"]]?.record.allocation.clusterIPs.append(try address(row["address"]))
        }
        for row in try Row.fetchAll(database, sql: "SELECT * FROM loadBalancerIP ORDER BY serviceID, position") {
            records[row["serviceID"]]?.record.allocation.loadBalancerIPs.append(try address(row["address"]))
        }
        for row in try Row.fetchAll(database, sql: "SELECT * FROM nodePort") {
            records[row["serviceID"]]?.record.allocation.nodePorts[row["portName"]] = try port(row["port"])
        }
        return Dictionary(uniqueKeysWithValues: records.values.map { ($0.key, $0.record) })
    }

    /// Puts the record in the place of the one before it; nil leaves none.
    static func put(_ record: AllocationRecord?, for key: ServiceKey, into database: Database) throws {
        // Its rows in the other tables go with it.
        try execute("DELETE FROM service WHERE namespace = ? AND name = ?", [key.namespace, key.name], database)
        guard let record else { return }
        let allocation = record.allocation
        try execute(
            "INSERT INTO service (namespace, name, uid, healthCheckNodePort, goneSince) VALUES (?, ?, ?, ?, ?)",
            [key.namespace, key.name, allocation.uid, allocation.healthCheckNodePort?.rawValue, record.goneSince], database)
        let id = database.lastInsertedRowID
        for (position, address) in allocation.clusterIPs.enumerated() {
            try execute("INSERT INTO clusterIP VALUES (?, ?, ?)", [id, position, address.description], database)
        }
        for (position, address) in allocation.loadBalancerIPs.enumerated() {
            try execute("INSERT INTO loadBalancerIP VALUES (?, ?, ?)", [id, position, address.description], database)
        }
        for (name, port) in allocation.nodePorts {
            try execute("INSERT INTO nodePort VALUES (?, ?, ?)", [id, name, port.rawValue], database)
        }
    }

    private static func execute(_ sql: String, _ arguments: StatementArguments, _ database: Database) throws {
        try database.cachedStatement(sql: sql).execute(arguments: arguments)
    }

    private static func address(_ text: String) throws -> IPAddress {
        guard let address = IPAddress(text) else { throw Unreadable(reason: "\"\(text)\" is no address") }
        return address
    }

    private static func port(_ number: Int64) throws -> PortNumber {
        guard let port = PortNumber(number) else { throw Unreadable(reason: "\(number) is no port") }
        return port
    }
}
