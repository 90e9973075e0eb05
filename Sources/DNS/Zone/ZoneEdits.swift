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
        let hash = NameHash.of(key)
        byShard[Zone.shard(of: hash), default: []].append(Edit(key: key, hash: hash, action: action))
    }

    func apply(to zone: inout Zone) {
        for (shard, edits) in byShard { zone.shards[shard] = Self.rebuilt(zone.shards[shard], edits) }
    }

    private struct Entry {
        var hash: UInt32
        var key: [UInt8]
        /// Empty: there is none.
        var value: [UInt8]
    }

    private static func rebuilt(_ shard: [UInt8], _ edits: [Edit]) -> [UInt8] {
        // The entries that are edited, each once, and where those of them stand that were there before.
        var entries: [Entry] = []
        entries.reserveCapacity(edits.count)
        var places: [[UInt8]: Int] = [:]
        var replaced: Set<Int> = []
        for edit in edits {
            if let place = places[edit.key] {
                entries[place].value = value(entries[place].value, edit.action)
                continue
            }
            let old = shard.isEmpty ? nil : entry(edit.key, edit.hash, in: shard.span)
            if let old { replaced.insert(old) }
            let before = old.map { Array(shard[valueRange(of: $0, in: shard.span)]) } ?? []
            places[edit.key] = entries.count
            entries.append(
                Entry(hash: UInt32(truncatingIfNeeded: edit.hash), key: edit.key, value: value(before, edit.action)))
        }
        return bytes(of: entries.filter { !$0.value.isEmpty }, and: shard, without: replaced)
    }

    private static func entry(_ key: [UInt8], _ hash: UInt64, in shard: Span<UInt8>) -> Int? {
        let mask = 1 << Int(shard[0]) - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = Shard.number(shard, Shard.slotsOffset + slot * 4)
            guard entry > 0 else { return nil }
            let start = entry + Shard.entryHeaderLength
            if Int(shard[entry + 4]) == key.count, key.indices.allSatisfy({ shard[start + $0] == key[$0] }) { return entry }
            slot = (slot + 1) & mask
        }
    }

    private static func valueRange(of entry: Int, in shard: Span<UInt8>) -> Range<Int> {
        let start = entry + Shard.entryHeaderLength + Int(shard[entry + 4])
        return start..<start + Shard.number(shard, entry + 5)
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

    /// A table that is at most half full, of those entries and what else was in the shard.
    private static func bytes(of entries: [Entry], and shard: [UInt8], without replaced: Set<Int>) -> [UInt8] {
        var kept: [Range<Int>] = []
        var offset = shard.isEmpty ? 0 : Shard.slotsOffset + 4 << Int(shard[0])
        while offset < shard.count {
            let end = valueRange(of: offset, in: shard.span).upperBound
            if !replaced.contains(offset) { kept.append(offset..<end) }
            offset = end
        }
        let count = entries.count + kept.count
        guard count > 0 else { return [] }
        var bits = 1
        while 1 << bits < count * 2 { bits += 1 }
        let length =
            entries.reduce(0) { $0 + Shard.entryHeaderLength + $1.key.count + $1.value.count } + kept.reduce(0) { $0 + $1.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Shard.slotsOffset + 4 << bits + length)
        bytes.append(UInt8(bits))
        bytes.append(contentsOf: repeatElement(0, count: 4 << bits))
        for range in kept {
            link(UInt32(truncatingIfNeeded: Shard.number(shard.span, range.lowerBound)), bits, &bytes)
            bytes.append(contentsOf: shard[range])
        }
        for entry in entries {
            link(entry.hash, bits, &bytes)
            Shard.append(Int(entry.hash), to: &bytes)
            bytes.append(UInt8(entry.key.count))
            Shard.append(entry.value.count, to: &bytes)
            bytes += entry.key
            bytes += entry.value
        }
        return bytes
    }

    /// Gives the entry that is about to be appended a slot.
    private static func link(_ hash: UInt32, _ bits: Int, _ bytes: inout [UInt8]) {
        var slot = Int(hash) & (1 << bits - 1)
        while Shard.number(bytes.span, Shard.slotsOffset + slot * 4) > 0 { slot = (slot + 1) & (1 << bits - 1) }
        for byte in 0..<4 { bytes[Shard.slotsOffset + slot * 4 + byte] = UInt8(truncatingIfNeeded: bytes.count >> (byte * 8)) }
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
