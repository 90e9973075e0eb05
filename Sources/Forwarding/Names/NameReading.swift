package import Addressing
import DNS
import Engine

/// What was asked and answered at an address over one protocol, by all workers together.
package struct NameReading: Sendable {
    package let address: SocketAddress
    package let transport: TransportProtocol
    /// The cluster's domain, with a final dot.
    package let domain: String
    /// By `NameColumn`.
    private let counters: [UInt64]

    init(_ settings: NameSettings, socket: Int, _ workers: [WorkerHandle]) {
        address = settings.addresses[socket / 2]
        transport = socket % 2 == 0 ? .udp : .tcp
        domain = settings.responder.domain.description
        counters = (0..<NameColumn.count).map { column in
            workers.reduce(0) { $0 &+ ($1.names?.counters.read(row: socket, column: column) ?? 0) }
        }
    }

    package func requests(_ zone: ZoneKind, _ type: QueryKind) -> UInt64 {
        counters[NameColumn.requests + zone.rawValue * QueryKind.count + type.rawValue]
    }

    package func responses(_ zone: ZoneKind, _ code: ResponseKind) -> UInt64 {
        counters[NameColumn.responses + zone.rawValue * ResponseKind.count + code.rawValue]
    }

    package func dropped(_ reason: QueryDrop) -> UInt64 { counters[NameColumn.dropped + reason.rawValue] }

    /// Messages of each of `SizeBucket`, and the sum of their bytes.
    package var requestSizes: (buckets: [UInt64], bytes: UInt64) { sizes(NameColumn.requestSizes, NameColumn.requestBytes) }
    package var responseSizes: (buckets: [UInt64], bytes: UInt64) { sizes(NameColumn.responseSizes, NameColumn.responseBytes) }

    private func sizes(_ first: Int, _ sum: Int) -> (buckets: [UInt64], bytes: UInt64) {
        (Array(counters[first..<first + SizeBucket.count]), counters[sum])
    }

    package var connections: UInt64 { counters[NameColumn.connections] }
    package var connectionsActive: UInt64 { counters[NameColumn.connectionsActive] }

    /// Connections that have ended, by reason; reasons that never happened are left out.
    package var closed: [(reason: String, count: UInt64)] {
        NameConnection.Ending.allCases.compactMap { ending in
            let count = counters[NameColumn.closed + Int(ending.rawValue)]
            return count > 0 ? (ending.name, count) : nil
        }
    }
}

/// What became of names that others were asked for, in all workers together.
package struct ForwardingReading: Sendable {
    /// By `ForwardingCount`.
    private let counters: [UInt64]
    /// Replies of each upstream that has given any: how many took as long as each of `ReplyTime`, and the sum of the nanoseconds.
    package let replyTimes: [(server: SocketAddress, buckets: [UInt64], nanoseconds: UInt64)]

    init(_ upstreams: Upstreams, _ workers: [WorkerHandle]) {
        counters = ForwardingCount.allCases.map { count in
            workers.reduce(0) { $0 &+ ($1.names?.counters.read(row: 0, column: NameColumn.forwarding + count.rawValue) ?? 0) }
        }
        // A server of several groups has several rows.
        var rows: [SocketAddress: [UInt64]] = [:]
        let addresses = upstreams.addresses
        for (row, server) in addresses.enumerated() {
            for column in 0..<ReplyColumn.count {
                let count = workers.reduce(0) { $0 &+ ($1.names?.replyCounters.read(row: row, column: column) ?? 0) }
                rows[server, default: Array(repeating: 0, count: ReplyColumn.count)][column] &+= count
            }
        }
        var shown: Set<SocketAddress> = []
        replyTimes = addresses.compactMap { server in
            guard shown.insert(server).inserted, let row = rows[server], row.contains(where: { $0 > 0 }) else { return nil }
            return (server, Array(row[..<ReplyTime.count]), row[ReplyColumn.nanoseconds])
        }
    }

    package subscript(count: ForwardingCount) -> UInt64 { counters[count.rawValue] }
}

extension DataPlaneStatistics.Names {
    init(_ settings: NameSettings, _ readings: [NameReading], _ forwarding: ForwardingReading?) {
        if let forwarding {
            for count in ForwardingCount.allCases { questions["\(count)"] = forwarding[count] }
        }
        addresses = settings.addresses.map(\.description)
        domain = String(settings.responder.domain.description.dropLast())
        for reading in readings {
            for zone in ZoneKind.allCases {
                for type in QueryKind.allCases { add(reading.requests(zone, type), type.name, to: &requests) }
                for code in ResponseKind.allCases { add(reading.responses(zone, code), code.name, to: &responses) }
            }
            for reason in QueryDrop.allCases { add(reading.dropped(reason), reason.name, to: &dropped) }
            for (reason, count) in reading.closed { add(count, reason, to: &closed) }
            connections += reading.connections
            connectionsActive += reading.connectionsActive
        }
    }

    private func add(_ count: UInt64, _ name: String, to counts: inout [String: UInt64]) {
        if count > 0 { counts[name, default: 0] += count }
    }
}
