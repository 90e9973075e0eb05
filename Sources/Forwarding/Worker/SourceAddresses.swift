package import Addressing
import Engine
import Routing

/// The addresses that connections to endpoints are made from; none of a family leaves the choice to the kernel.
///
/// From one address to one endpoint there are as many connections as there are ports (net.ipv4.ip_local_port_range: 28,232), those in
/// TIME_WAIT among them.
package struct SourceAddresses: Sendable {
    /// Of each family. A connection that finds no port tries them all, so this bounds its attempts.
    package static let max = 16

    private let ipv4: [IPAddress]
    private let ipv6: [IPAddress]

    /// - Parameter addresses: at most `max` of each family.
    package init(_ addresses: [IPAddress] = []) {
        ipv4 = addresses.filter { $0.family == .ipv4 }
        ipv6 = addresses.filter { $0.family == .ipv6 }
        precondition(ipv4.count <= Self.max && ipv6.count <= Self.max, "more source addresses than are tried")
    }

    func count(_ family: IPAddress.Family) -> Int { family == .ipv4 ? ipv4.count : ipv6.count }

    /// nil where there is none of the family.
    func address(_ family: IPAddress.Family, at place: UInt8) -> IPAddress? {
        switch family {
        case .ipv4: ipv4.isEmpty ? nil : ipv4[Int(place)]
        case .ipv6: ipv6.isEmpty ? nil : ipv6[Int(place)]
        }
    }
}

/// From which source address to which endpoint no port was left.
///
/// To find that out the kernel looks at every port of its range: 1.8 ms for 28,000 of them. A worker with more clients than ports would
/// do nothing else. So what was found holds until a connection comes about there again, and one pair of all that are known is put to
/// the test in each `Limits.portLookNanoseconds`. Of two pairs with the same place in the table the last is known.
struct PortShortage: ~Copyable {
    private var pairs = FixedTable<UInt64>(zeroedCapacity: Limits.portShortagesMax)
    /// When the next look is due.
    private var lookAt: UInt64 = 0
    /// Whether no port was ever missed.
    private(set) var isUnknown = true

    /// Whether a connect may find a port as far as is known. One that is known to fail and due for a look counts as the look.
    mutating func allows(_ pair: UInt64, at now: UInt64) -> Bool {
        guard !isUnknown, pairs[Self.place(pair)] == pair else { return true }
        guard now >= lookAt else { return false }
        lookAt = now &+ Limits.portLookNanoseconds
        return true
    }

    /// A connect found no port.
    mutating func found(_ pair: UInt64, at now: UInt64) {
        isUnknown = false
        pairs[Self.place(pair)] = pair
        lookAt = now &+ Limits.portLookNanoseconds
    }

    /// A connect found one.
    mutating func isOver(_ pair: UInt64) {
        if pairs[Self.place(pair)] == pair { pairs[Self.place(pair)] = 0 }
    }

    private static func place(_ pair: UInt64) -> Int { Int(pair % UInt64(Limits.portShortagesMax)) }
}

// Where an attempt to connect goes, and from which address.
extension Worker {
    /// Chooses the endpoint of an attempt: that of the last one if another source address is left for it, else one not tried yet. nil
    /// when there is none; `reason` becomes `noSourcePort` where some were passed over for want of a port.
    mutating func chooseEndpoint(_ slot: UInt32, _ served: ServedFrontend, otherwise reason: inout CloseReason) -> Int? {
        let group = served.frontend.group
        // Each turn leaves one of at most `SourceAddresses.max` addresses for one of at most `Tried.max` endpoints.
        while true {
            let again = flows[slot].keepsEndpoint ? group.place(of: flows[slot].endpointIdentity) : nil
            flows[slot].keepsEndpoint = false
            guard let choice = again ?? chooseByHealth(slot, served) else { return nil }
            let endpoint = group.endpoints[choice]
            let count = settings.sourceAddresses.count(endpoint.address.address.family)
            if again == nil {
                flows[slot].endpointIdentity = endpoint.identity
                flows[slot].sourcesLeft = UInt8(max(1, count) - 1)
            } else {
                flows[slot].health = FlowHealth(row: served.endpointRows[choice], ejectAfter: group.settings.ejectAfter)
            }
            flows[slot].source = firstSource(slot, of: count)
            if portShortage.allows(sourcePair(slot), at: now) { return choice }
            reason = .noSourcePort
            noteFailed(slot, reason)
            leaveSource(slot)
        }
    }

    /// Connections take source addresses by turns, and workers begin at different ones. What is left of the round follows from where
    /// it began.
    private func firstSource(_ slot: UInt32, of count: Int) -> UInt8 {
        guard count > 1 else { return 0 }
        let begin = count * settings.index / (settings.others.count + 1) + Int(slot) + Int(flows[slot].generation)
        return UInt8((begin + Int(flows[slot].sourcesLeft)) % count)
    }

    /// The kernel had no port for the attempt. Another source address of the same endpoint is next, or the endpoint is through.
    mutating func foundNoPort(_ slot: UInt32) {
        counters.add(1, row: Column.workerRow, column: Column.portsExhausted)
        portShortage.found(sourcePair(slot), at: now)
        leaveSource(slot)
    }

    private mutating func leaveSource(_ slot: UInt32) {
        if flows[slot].sourcesLeft > 0 {
            flows[slot].sourcesLeft -= 1
            flows[slot].keepsEndpoint = true
        } else {
            flows[slot].connectFailed()
        }
    }

    /// The attempt has found a port.
    mutating func foundPort(_ slot: UInt32) {
        if !portShortage.isUnknown { portShortage.isOver(sourcePair(slot)) }
    }

    /// Names the endpoint and the source address of the flow's attempt.
    private func sourcePair(_ slot: UInt32) -> UInt64 { Mixer.mix(flows[slot].endpointIdentity &+ UInt64(flows[slot].source)) }
}
