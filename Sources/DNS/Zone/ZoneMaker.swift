package import Routing

/// Makes the zone of each snapshot from the one before: what a change touches is made anew, off the workers.
package struct ZoneMaker: Sendable {
    package private(set) var zone = Zone.empty
    private var generation: UInt64 = 0
    private var names = NameTable.empty

    package init() {}

    /// Takes the names of the next snapshot. Where it does not follow on the last one, all names are compared.
    ///
    /// - Parameter serial: for the SOA, seconds since 1970; used where names have changed.
    /// - Returns: the zone, of which shards that nothing touched are those of the zone before.
    package mutating func update(to snapshot: RoutingSnapshot, serial: UInt32) -> Zone {
        let next = snapshot.names
        let isNext = snapshot.generation == generation + 1
        let touched = isNext ? next.touched : snapshot.generation == generation ? NameTable.Touched() : nil
        var edits = ZoneEdits()
        for name in touched?.services ?? Set(names.services.keys).union(next.services.keys) {
            let (old, new) = (names.services[name], next.services[name])
            if old !== new { edits.replace(old.map { NameRecords($0) }, with: new.map { NameRecords($0) }) }
        }
        for name in touched?.namespaces ?? Set(names.namespaces.keys).union(next.namespaces.keys) {
            let (old, new) = (names.namespaces[name], next.namespaces[name])
            if old !== new { edits.replace(old.map { NameRecords($0) }, with: new.map { NameRecords($0) }) }
        }
        if !edits.isEmpty || !zone.isSynced { zone.serial = serial }
        zone.isSynced = zone.isSynced || next.isComplete
        edits.apply(to: &zone)
        (generation, names) = (snapshot.generation, next)
        return zone
    }
}
