/// What becomes of entries of a zone, gathered by shard so that each is made once.
struct ZoneEdits {
    private enum Action {
        /// nil: it goes.
        case set([UInt8]?)
        case addPointer([UInt8])
        case removePointer([UInt8])
    }

    private struct Edit {
        let key: [UInt8]
        let hash: UInt64
        let action: Action
    }

    private var byShard: [Int: [Edit]] = [:]

    var isEmpty: Bool { byShard.isEmpty }

    mutating func replace(_ old: NameRecords?, with new: NameRecords?) {
        let (old, new) = (old ?? NameRecords(), new ?? NameRecords())
        for key in old.entries.keys where new.entries[key] == nil { add(key, .set(nil)) }
        for (key, value) in new.entries where old.entries[key] != value { add(key, .set(value)) }
        for pointer in old.pointers where !new.pointers.contains(pointer) { add(pointer.key, .removePointer(pointer.record)) }
        for pointer in new.pointers where !old.pointers.contains(pointer) { add(pointer.key, .addPointer(pointer.record)) }
    }

    private mutating func add(_ key: [UInt8], _ action: Action) {
        let hash = KeyHash.of(key)
        byShard[Zone.shard(of: hash), default: []].append(Edit(key: key, hash: hash, action: action))
    }

    func apply(to zone: inout Zone) {
        for (shard, edits) in byShard { zone.shards[shard] = Self.rebuilt(zone.shards[shard], edits) }
    }

    private struct Entry {
        var hash: UInt32
        var key: [UInt8]
        var value: [UInt8]
    }

    private static func rebuilt(_ shard: [UInt8], _ edits: [Edit]) -> [UInt8] {
        var entries = entries(of: shard)
        var index: [[UInt8]: Int] = [:]
        for (place, entry) in entries.enumerated() { index[entry.key] = place }
        for edit in edits {
            let place = index[edit.key]
            let value = value(place.map { entries[$0].value } ?? [], edit.action)
            if let place {
                entries[place].value = value
            } else if !value.isEmpty {
                index[edit.key] = entries.count
                entries.append(Entry(hash: UInt32(truncatingIfNeeded: edit.hash), key: edit.key, value: value))
            }
        }
        return bytes(of: entries.filter { !$0.value.isEmpty })
    }

    /// Empty where nothing is left.
    private static func value(_ value: [UInt8], _ action: Action) -> [UInt8] {
        switch action {
        case .set(let new): return new ?? []
        case .addPointer(let record):
            // Sorted, so that the order of changes leaves no trace.
            let records = (pointers(in: value) + [record]).sorted { $0.lexicographicallyPrecedes($1) }
            return [EntryKind.pointer.rawValue] + records.joined()
        case .removePointer(let record):
            let records = pointers(in: value).filter { $0 != record }
            return records.isEmpty ? [] : [EntryKind.pointer.rawValue] + records.joined()
        }
    }

    private static func pointers(in value: [UInt8]) -> [[UInt8]] {
        var records: [[UInt8]] = []
        var offset = 1
        while offset < value.count {
            let end = offset + 2 + Int(value[offset + 1])
            records.append(Array(value[offset..<end]))
            offset = end
        }
        return records
    }

    private static func entries(of shard: [UInt8]) -> [Entry] {
        guard !shard.isEmpty else { return [] }
        var entries: [Entry] = []
        var offset = Shard.slotsOffset + 4 << Int(shard[0])
        while offset < shard.count {
            let hash = UInt32(truncatingIfNeeded: Shard.number(shard.span, offset))
            let key = offset + Shard.entryHeaderLength
            let value = key + Int(shard[offset + 4])
            let end = value + Shard.number(shard.span, offset + 5)
            entries.append(Entry(hash: hash, key: Array(shard[key..<value]), value: Array(shard[value..<end])))
            offset = end
        }
        return entries
    }

    /// A table that is at most half full.
    private static func bytes(of entries: [Entry]) -> [UInt8] {
        guard !entries.isEmpty else { return [] }
        var bits = 1
        while 1 << bits < entries.count * 2 { bits += 1 }
        let table = Shard.slotsOffset + 4 << bits
        let length = entries.reduce(table) { $0 + Shard.entryHeaderLength + $1.key.count + $1.value.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length)
        bytes.append(UInt8(bits))
        bytes.append(contentsOf: repeatElement(0, count: 4 << bits))
        for entry in entries {
            var slot = Int(entry.hash) & (1 << bits - 1)
            while Shard.number(bytes.span, Shard.slotsOffset + slot * 4) > 0 { slot = (slot + 1) & (1 << bits - 1) }
            for byte in 0..<4 { bytes[Shard.slotsOffset + slot * 4 + byte] = UInt8(truncatingIfNeeded: bytes.count >> (byte * 8)) }
            Shard.append(Int(entry.hash), to: &bytes)
            bytes.append(UInt8(entry.key.count))
            Shard.append(entry.value.count, to: &bytes)
            bytes += entry.key
            bytes += entry.value
        }
        return bytes
    }
}

extension Zone {
    /// Everything in it, for comparisons.
    var contents: [[UInt8]: [UInt8]] {
        var all: [[UInt8]: [UInt8]] = [:]
        for shard in shards {
            guard !shard.isEmpty else { continue }
            var offset = Shard.slotsOffset + 4 << Int(shard[0])
            while offset < shard.count {
                let key = offset + Shard.entryHeaderLength
                let value = key + Int(shard[offset + 4])
                let end = value + Shard.number(shard.span, offset + 5)
                all[Array(shard[key..<value])] = Array(shard[value..<end])
                offset = end
            }
        }
        return all
    }
}
