internal import Addressing
internal import Routing

// Names in the cluster's domain.

extension Responder {
    /// What stands at a name.
    private enum Found: BitwiseCopyable {
        case nothing
        /// It exists, since something stands below it.
        case bare
        case entry(Shard.Place)
        /// Of a Pod.
        case pod(IPAddress)
        case apex
        /// `ns.dns`: this server.
        case server
        /// `dns-version`: of the specification.
        case version
    }

    /// Links of a chain of aliases.
    private static let chainMax = 10

    /// Writes what there is for a question, of which the labels before the domain end at `apex`.
    ///
    /// - Returns: where the target of an alias stands that leads out of the zone; else 0.
    func fill(
        _ answer: inout Answer, _ message: Span<UInt8>, _ apex: Int, _ zone: borrowing Zone, _ random: inout RandomSource,
        _ reply: inout MutableSpan<UInt8>
    ) -> Int {
        let type = answer.query.type
        var found = find(message, Query.nameOffset..<apex, zone)
        var owner = Query.nameOffset
        var chain = InlineArray<10, Int>(repeating: 0)
        var links = 0
        // SRV records are not asked for through an alias: they would be another Service's.
        while case .entry(let place) = found, type != .srv {
            let table = zone.shards[place.shard]
            let bytes = table.span
            guard bytes[place.offset] == EntryKind.alias.rawValue else { break }
            let identity = place.shard << 32 | place.offset
            for index in 0..<links where chain[index] == identity { return 0 }
            guard links < Self.chainMax else { return 0 }
            chain[links] = identity
            links += 1
            let target = place.offset + 1..<place.end
            let inside = labelsEnd(bytes, target)
            let labels = target.lowerBound..<(inside ?? target.upperBound)
            let length = labels.count + (inside == nil ? 0 : 2)
            guard let data = answer.begin(.cname, owner: owner, length: length, in: .answer, &reply) else { return 0 }
            reply.put(bytes, labels, at: data)
            if inside != nil { Answer.put16(UInt16(apex | 0xc000), data + labels.count, &reply) }
            if type == .cname || type == .any { return 0 }
            guard inside != nil else { return data }
            owner = data
            found = find(bytes, labels, zone)
        }
        switch found {
        case .nothing: deny(&answer, exists: false, apex: apex, zone, &reply)
        case .entry(let place): addEntry(place, &answer, message, apex, owner: owner, zone, &random, &reply)
        case .pod(let address) where type == address.recordType: answer.add(address, owner: owner, in: .answer, &reply)
        case .server where type == .a || type == .aaaa:
            let before = answer.answers
            addServerAddresses(type, owner: owner, in: .answer, &answer, &reply)
            if answer.answers == before { addNothing(&answer, apex, zone, &reply) }
        case .version where type == .txt:
            guard let data = answer.begin(.txt, owner: owner, length: 6, ttl: 28_800, in: .answer, &reply) else { break }
            Answer.put32(0x0531_2e31, data, &reply)  // 5, "1.1.0"
            Answer.put16(0x2e30, data + 4, &reply)
        case .apex where type == .soa: answer.addStartOfAuthority(zone: apex, serial: zone.serial, in: .answer, &reply)
        case .apex where type == .ns: addNameServers(&answer, apex, zone, &random, &reply)
        case .bare, .pod, .server, .version, .apex: addNothing(&answer, apex, zone, &reply)
        }
        return 0
    }

    /// What is said of a name that exists, but has nothing of the type that is asked for.
    private func addNothing(_ answer: inout Answer, _ apex: Int, _ zone: borrowing Zone, _ reply: inout MutableSpan<UInt8>) {
        if answer.query.type == .any {
            addMinimal(&answer, &reply)
        } else {
            deny(&answer, exists: true, apex: apex, zone, &reply)
        }
    }

    // MARK: - Looking up

    /// Where a name's labels end before the domain; nil where it is none of the domain's.
    private func labelsEnd(_ name: Span<UInt8>, _ range: Range<Int>) -> Int? {
        let domain = settings.domain.wire
        let start = range.upperBound - domain.count
        guard start >= range.lowerBound else { return nil }
        guard domain.span.matches(at: 0, name, start..<range.upperBound) else { return nil }
        var position = range.lowerBound
        while position < start { position += 1 + Int(name[position]) }
        return position == start ? start : nil
    }

    private func find(_ name: Span<UInt8>, _ labels: Range<Int>, _ zone: borrowing Zone) -> Found {
        if labels.isEmpty { return .apex }
        let isOfPods = Self.ends(name, labels, 0x0370_6f64)  // 3, "pod"
        if isOfPods, settings.podNames == .disabled { return .nothing }
        if let place = zone.find(name, labels) { return isHidden(name, labels, place, zone) ? .nothing : .entry(place) }
        if isOfPods { return pod(name, labels, zone) }
        switch labels.count {
        // 3, "svc"; 3, "dns"; 7, "ns.dns"
        case 4: return Self.ends(name, labels, 0x0373_7663) || Self.ends(name, labels, 0x0364_6e73) ? .bare : .nothing
        case 7: return Self.equals(name, labels, Answer.nameServer) ? .server : .nothing
        case 12: return Self.equals(name, labels, Self.version) ? .version : .nothing
        default: return .nothing
        }
    }

    private static let version: [UInt8] = [11] + Array("dns-version".utf8)

    /// Whether the last four bytes are these.
    @inline(__always)
    private static func ends(_ name: Span<UInt8>, _ labels: Range<Int>, _ word: UInt32) -> Bool {
        guard labels.count >= 4 else { return false }
        return UInt64(name.half(at: labels.upperBound - 4)).lowercased == UInt64(word.byteSwapped)
    }

    private static func equals(_ name: Span<UInt8>, _ labels: Range<Int>, _ word: [UInt8]) -> Bool {
        word.span.matches(at: 0, name, labels)
    }

    /// Only by settings that nobody has by default.
    private func isHidden(_ name: Span<UInt8>, _ labels: Range<Int>, _ place: Shard.Place, _ zone: borrowing Zone) -> Bool {
        guard settings.hidesServicesWithoutEndpoints else { return false }
        let table = zone.shards[place.shard]
        let bytes = table.span
        switch EntryKind(rawValue: bytes[place.offset]) {
        case .service: return bytes[AddressLists(bytes, place).end] == 0
        case .port:
            let parent = Self.service(ofPort: name, labels)
            guard let service = zone.find(name, parent) else { return true }
            return isHidden(name, parent, service, zone)
        default: return false
        }
    }

    /// The name behind `_port._proto`.
    private static func service(ofPort name: Span<UInt8>, _ labels: Range<Int>) -> Range<Int> {
        let second = labels.lowerBound + 1 + Int(name[labels.lowerBound])
        return second + 1 + Int(name[second])..<labels.upperBound
    }

    /// `ADDRESS.NAMESPACE.pod`; the table has the last two labels of it.
    private func pod(_ name: Span<UInt8>, _ labels: Range<Int>, _ zone: borrowing Zone) -> Found {
        let suffix = labels.upperBound - 4
        if labels.lowerBound == suffix { return .bare }
        let namespace = labels.lowerBound + 1 + Int(name[labels.lowerBound])
        guard namespace < suffix, namespace + 1 + Int(name[namespace]) == suffix,
            let address = IPAddress(dashed: name, labels.lowerBound + 1..<namespace)
        else { return .nothing }
        let exists =
            settings.podNames == .verified
            ? zone.find(address, namespace: name, namespace + 1..<suffix) != nil
            : zone.find(name, namespace..<labels.upperBound) != nil
        return exists ? .pod(address) : .nothing
    }

    // MARK: - Services

    private func addEntry(
        _ place: Shard.Place, _ answer: inout Answer, _ message: Span<UInt8>, _ apex: Int, owner: Int, _ zone: borrowing Zone,
        _ random: inout RandomSource, _ reply: inout MutableSpan<UInt8>
    ) {
        let table = zone.shards[place.shard]
        let bytes = table.span
        let type = answer.query.type
        switch EntryKind(rawValue: bytes[place.offset]) {
        case .host, .service, .headless:
            let lists = AddressLists(bytes, place)
            if type == .a, lists.countIPv4 > 0 {
                return answer.add(
                    .a, owner: owner, bytes, at: lists.offset, count: lists.countIPv4, in: .answer, random: &random, &reply)
            }
            if type == .aaaa, lists.countIPv6 > 0 {
                return answer.add(
                    .aaaa, owner: owner, bytes, at: lists.offsetIPv6, count: lists.countIPv6, in: .answer, random: &random, &reply)
            }
            if type == .srv, bytes[place.offset] != EntryKind.host.rawValue {
                let service = Query.nameOffset..<apex
                addServices(place, port: nil, message, service, &answer, zone, &random, &reply)
            }
        case .port where type == .srv:
            let service = Self.service(ofPort: message, Query.nameOffset..<apex)
            guard let parent = zone.find(message, service) else { break }
            addServices(parent, port: bytes[place.offset + 1], message, service, &answer, zone, &random, &reply)
        default: break
        }
        if answer.answers == 0 || owner != Query.nameOffset, !answer.isTruncated {
            addNothing(&answer, apex, zone, &reply)
        }
    }

    /// SRV records of a Service's ports, and the addresses of their targets.
    ///
    /// - Parameters:
    ///   - port: the index of the one that is asked for; nil: all, each target and number once.
    ///   - service: its labels in the message, behind which the domain stands.
    private func addServices(
        _ place: Shard.Place, port: UInt8?, _ message: Span<UInt8>, _ service: Range<Int>, _ answer: inout Answer,
        _ zone: borrowing Zone, _ random: inout RandomSource, _ reply: inout MutableSpan<UInt8>
    ) {
        let table = zone.shards[place.shard]
        let bytes = table.span
        guard bytes[place.offset] == EntryKind.service.rawValue || bytes[place.offset] == EntryKind.headless.rawValue else { return }
        let lists = AddressLists(bytes, place)
        let items = lists.end + 1..<place.end
        func counts(_ item: ServiceItem) -> Bool { port == nil ? !item.repeats.contains(.record) : item.portIndex == port }
        var count = 0
        var offset = items.lowerBound
        while offset < items.upperBound {
            let item = ServiceItem(bytes, at: offset)
            if counts(item) { count += 1 }
            offset = item.label.upperBound
        }
        let weight = UInt16(max(1, 100 / max(1, count)))

        // RFC 2782 allows no pointers in a target; but others may point to it.
        let first = answer.end
        let suffix = service.lowerBound..<answer.query.nameEnd
        offset = items.lowerBound
        while offset < items.upperBound {
            let item = ServiceItem(bytes, at: offset)
            offset = item.label.upperBound
            guard counts(item), item.label.count + suffix.count <= DomainName.lengthMax else { continue }
            let length = 6 + item.label.count + suffix.count
            guard var end = answer.begin(.srv, owner: Query.nameOffset, length: length, in: .answer, &reply) else { break }
            Answer.put16(0, end, &reply)
            Answer.put16(weight, end + 2, &reply)
            Answer.put16(item.port, end + 4, &reply)
            end += 6
            reply.put(bytes, item.label, at: end)
            end += item.label.count
            // The domain as it was asked for, the rest as it is.
            for index in suffix {
                reply[end] = index < service.upperBound ? message[index].lowercased : message[index]
                end += 1
            }
        }
        guard !answer.isTruncated else { return }

        offset = items.lowerBound
        var record = first
        while offset < items.upperBound {
            let item = ServiceItem(bytes, at: offset)
            offset = item.label.upperBound
            guard counts(item), item.label.count + suffix.count <= DomainName.lengthMax else { continue }
            // Pointers reach 16 KB; records behind that place go without addresses.
            guard record + 18 < 0x4000 else { return }
            let target = record + 18
            record = target + item.label.count + suffix.count
            if item.repeats.contains(port == nil ? .target : .targetOfPort) { continue }
            let host = item.label.isEmpty ? place : zone.find(bytes, item.label, before: message, service)
            if let host { addAddresses(of: host, owner: target, &answer, zone, &random, &reply) }
        }
    }

    /// Both families, as additional records.
    private func addAddresses(
        of place: Shard.Place, owner: Int, _ answer: inout Answer, _ zone: borrowing Zone, _ random: inout RandomSource,
        _ reply: inout MutableSpan<UInt8>
    ) {
        let table = zone.shards[place.shard]
        let bytes = table.span
        let lists = AddressLists(bytes, place)
        answer.add(
            .a, owner: owner, bytes, at: lists.offset, count: lists.countIPv4, in: .additional, random: &random, &reply)
        answer.add(
            .aaaa, owner: owner, bytes, at: lists.offsetIPv6, count: lists.countIPv6, in: .additional, random: &random, &reply)
    }

    // MARK: - Name servers

    private func addServerAddresses(
        _ type: RecordType, owner: Int, in section: Answer.Section, _ answer: inout Answer, _ reply: inout MutableSpan<UInt8>
    ) {
        for index in settings.serverAddresses.indices {
            let address = settings.serverAddresses[index]
            if type == .any || type == address.recordType { answer.add(address, owner: owner, in: section, &reply) }
        }
    }

    /// The Services that this server is an endpoint or an address of; if it is none's, `ns.dns`.
    private func addNameServers(
        _ answer: inout Answer, _ apex: Int, _ zone: borrowing Zone, _ random: inout RandomSource, _ reply: inout MutableSpan<UInt8>
    ) {
        let first = answer.end
        for index in settings.serverAddresses.indices {
            let place = zone.find(settings.serverAddresses[index], namespace: settings.domain.wire.span, 0..<0)
            guard let place else { continue }
            let table = zone.shards[place.shard]
            let bytes = table.span
            var offset = place.offset + 1
            while offset < place.end {
                var name = offset + 2..<offset + 2 + Int(bytes[offset + 1])
                defer { offset = name.upperBound }
                if bytes[offset] == 0 {
                    // An endpoint of a Service with an address of its own is asked there.
                    let parent = name.lowerBound + 1 + Int(bytes[name.lowerBound])..<name.upperBound
                    if let service = zone.find(bytes, parent), isService(service, zone) { name = parent }
                }
                if isAmongNameServers(bytes, name, from: first, answer.end, reply.span) { continue }
                guard let data = answer.begin(.ns, owner: Query.nameOffset, length: name.count + 2, in: .answer, &reply) else { return }
                reply.put(bytes, name, at: data)
                Answer.put16(UInt16(apex | 0xc000), data + name.count, &reply)
            }
        }
        let end = answer.end
        guard end > first else {
            guard let data = answer.begin(.ns, owner: Query.nameOffset, length: Answer.nameServer.count + 2, in: .answer, &reply)
            else { return }
            _ = Answer.put(Answer.nameServer, before: apex, data, &reply)
            return addServerAddresses(.any, owner: data, in: .additional, &answer, &reply)
        }
        var record = first
        while record < end {
            let data = record + 12
            record = data + (Int(reply[record + 10]) << 8 | Int(reply[record + 11]))
            if let host = zone.find(reply.span, data..<record - 2) {
                addAddresses(of: host, owner: data, &answer, zone, &random, &reply)
            }
        }
    }

    private func isService(_ place: Shard.Place, _ zone: borrowing Zone) -> Bool {
        zone.shards[place.shard][place.offset] == EntryKind.service.rawValue
    }

    /// Whether an NS record with that name stands there already.
    private func isAmongNameServers(
        _ bytes: Span<UInt8>, _ name: Range<Int>, from first: Int, _ end: Int, _ reply: Span<UInt8>
    ) -> Bool {
        var record = first
        while record < end {
            let data = record + 12
            record = data + (Int(reply[record + 10]) << 8 | Int(reply[record + 11]))
            guard record - 2 - data == name.count else { continue }
            var isSame = true
            for index in 0..<name.count where reply[data + index] != bytes[name.lowerBound + index] { isSame = false }
            if isSame { return true }
        }
        return false
    }
}

extension IPAddress {
    fileprivate var recordType: RecordType { family == .ipv4 ? .a : .aaaa }
}
