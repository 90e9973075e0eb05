internal import Addressing
internal import Routing

/// The entries that a Service or a namespace has in a zone.
struct NameRecords {
    /// A name at an address, one of several that different Services may have there.
    struct Pointer: Hashable {
        var key: [UInt8]
        /// As in the entry: flag, length, name.
        var record: [UInt8]
    }

    private(set) var entries: [[UInt8]: [UInt8]] = [:]
    private(set) var pointers: Set<Pointer> = []

    init() {}

    // MARK: - Namespaces

    init(_ names: NamespaceNames) {
        guard let label = Self.label(names.name) else { return }
        for kind in ["svc", "pod"] { set(label + Self.word(kind), [EntryKind.bare.rawValue]) }
        for address in names.podAddresses {
            let tag = address.family == .ipv4 ? Shard.podIPv4 : Shard.podIPv6
            set([tag] + address.octets + Array(label.dropFirst()), [EntryKind.bare.rawValue])
        }
    }

    // MARK: - Services

    init(_ names: ServiceNames) {
        guard let name = Self.label(names.service.name), let namespace = Self.label(names.service.namespace) else { return }
        let own = name + namespace + Self.word("svc")
        switch names.kind {
        case .externalName(let target):
            if let target = DomainName(target) { set(own, [EntryKind.alias.rawValue] + target.wire) }
            return
        case .cluster(let addresses, let ports):
            for address in addresses { point(from: address, to: own, isVirtual: true) }
            let items = ports.map { Item(port: $0, label: []) }
            set(own, Self.service(.service, addresses, items, isUsable: names.endpointSets.contains { !$0.endpoints.isEmpty }))
            addPorts(of: items, own)
        case .headless:
            var items: [Item] = []
            var addresses: [IPAddress] = []
            for set in names.endpointSets {
                for endpoint in set.endpoints {
                    guard let label = Self.label(of: endpoint) else { continue }
                    addresses.append(endpoint.address)
                    items += set.ports.map { Item(port: $0, label: label) }
                }
            }
            // Without an endpoint nothing exists.
            guard !addresses.isEmpty else { break }
            set(own, Self.service(.headless, addresses, items, isUsable: true))
            addPorts(of: items, own)
        }
        addEndpoints(names.endpointSets, own)
    }

    private mutating func addEndpoints(_ sets: [ServiceNames.EndpointSet], _ own: [UInt8]) {
        var hosts: [[UInt8]: [IPAddress]] = [:]
        for endpoint in sets.lazy.flatMap(\.endpoints) {
            guard let label = Self.label(of: endpoint) else { continue }
            hosts[label + own, default: []].append(endpoint.address)
        }
        for (name, addresses) in hosts {
            set(name, Self.host(.host, addresses))
            for address in addresses { point(from: address, to: name, isVirtual: false) }
        }
    }

    private struct Item: Hashable {
        var port: ServiceNames.Port
        var label: [UInt8]
    }

    /// Ports that have names in DNS, in the order of their indices.
    private static func named(_ items: [Item]) -> [[UInt8]] {
        var seen: Set<[UInt8]> = []
        return items.compactMap { portName($0.port) }.filter { seen.insert($0).inserted }.prefix(Int(ServiceItem.unnamed)).map { $0 }
    }

    /// `_http._tcp`, in wire form; nil where the port has no name that can be one.
    private static func portName(_ port: ServiceNames.Port) -> [UInt8]? {
        guard !port.name.isEmpty, let name = label("_" + port.name) else { return nil }
        return name + word("_" + port.transport.rawValue.lowercased())
    }

    private mutating func addPorts(of items: [Item], _ own: [UInt8]) {
        for (index, name) in Self.named(items).enumerated() {
            set(name + own, [EntryKind.port.rawValue, UInt8(index)])
            set(Array(name.dropFirst(1 + Int(name[0]))) + own, [EntryKind.bare.rawValue])
        }
    }

    // MARK: - Values

    private static func host(_ kind: EntryKind, _ addresses: [IPAddress]) -> [UInt8] {
        let all = Set(addresses).sorted()
        let lists = [all.filter { $0.family == .ipv4 }, all.filter { $0.family == .ipv6 }]
        var value = [kind.rawValue]
        for list in lists { Shard.append(list.count, to: &value) }
        for list in lists { for address in list { value += address.octets } }
        return value
    }

    /// - Parameter isUsable: whether it has any endpoint.
    private static func service(_ kind: EntryKind, _ addresses: [IPAddress], _ items: [Item], isUsable: Bool) -> [UInt8] {
        let named = Self.named(items)
        var value = host(kind, addresses)
        value.append(isUsable ? 1 : 0)
        var seen: Set<Item> = []
        var records: Set<[UInt8]> = []
        var targets: Set<[UInt8]> = []
        var targetsOfPorts: Set<[UInt8]> = []
        for item in items where seen.insert(item).inserted {
            let name = portName(item.port)
            let index = name.flatMap { named.firstIndex(of: $0) }.map { UInt8($0) } ?? ServiceItem.unnamed
            let port = [UInt8(item.port.number.rawValue >> 8), UInt8(truncatingIfNeeded: item.port.number.rawValue)]
            var repeats: ServiceItem.Repeats = []
            if !records.insert(port + item.label).inserted { repeats.insert(.record) }
            if !targets.insert(item.label).inserted { repeats.insert(.target) }
            if !targetsOfPorts.insert([index] + item.label).inserted { repeats.insert(.targetOfPort) }
            value += [index, repeats.rawValue] + port + [UInt8(item.label.count)] + item.label
        }
        return value
    }

    private mutating func set(_ key: [UInt8], _ value: [UInt8]) {
        if key.count <= DomainName.lengthMax - 1 { entries[key] = value }
    }

    private mutating func point(from address: IPAddress, to name: [UInt8], isVirtual: Bool) {
        guard name.count <= DomainName.lengthMax - 1 else { return }
        let tag = address.family == .ipv4 ? Shard.reverseIPv4 : Shard.reverseIPv6
        pointers.insert(Pointer(key: [tag] + address.octets, record: [isVirtual ? 1 : 0, UInt8(name.count)] + name))
    }

    // MARK: - Labels

    /// One label in wire form; nil where it is too long or empty.
    private static func label(_ text: String) -> [UInt8]? {
        guard (1...63).contains(text.utf8.count) else { return nil }
        return [UInt8(text.utf8.count)] + text.utf8.map(\.lowercased)
    }

    private static func word(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }

    private static func label(of endpoint: ServiceNames.Endpoint) -> [UInt8]? {
        label(endpoint.hostname.flatMap { $0.isEmpty ? nil : $0 } ?? endpoint.address.dashed)
    }
}

extension IPAddress {
    /// As a label: `172-0-0-2`, `5678-abcd--1`; `--` at the end gets a zero, since a label ends in a letter or a digit.
    var dashed: String {
        let text = String(description.map { $0 == "." || $0 == ":" ? "-" : $0 })
        return text.hasSuffix("-") ? text + "0" : text
    }

    /// In network order: 4 or 16.
    var octets: [UInt8] {
        func bytes(_ bits: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).reversed().map { UInt8(truncatingIfNeeded: bits >> UInt64($0 * 8)) }
        }
        return switch family {
        case .ipv4: bytes(low, 4)
        case .ipv6: bytes(high, 8) + bytes(low, 8)
        }
    }
}
