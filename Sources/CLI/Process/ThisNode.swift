internal import Addressing
internal import ControlPlane
internal import HostNetwork
internal import ServiceModel

/// This node as the options make it, with what the host's interfaces have at the moment.
struct ThisNode {
    private(set) var node: LocalNode
    private let nodePorts: NodePortAddresses?
    /// What its own object in the sources gives it.
    private var named: [IPAddress] = []
    /// What was said already: said again only where it has changed.
    private var said: String?

    init(_ node: LocalNode, nodePorts: NodePortAddresses?) {
        self.node = node
        self.nodePorts = nodePorts
    }

    /// From here on calls `handler` when addresses of the host come or go, on a queue of its own. To be called before the first look.
    ///
    /// - Returns: what to say where the host gives no socket for it.
    func follow(_ handler: @escaping @Sendable () -> Void) -> [Journal.Entry] {
        guard let changes = HostChanges(routes: nodePorts?.goesByRoutes ?? false) else {
            return nodePorts == nil
                ? [] : [Journal.Entry(level: .warning, message: "changes of this host's addresses can't be followed")]
        }
        Host.onInput(changes.descriptor) { if changes.take() { handler() } }
        return []
    }

    /// Takes what its own object says, if there is one.
    mutating func found(_ change: ObjectChange) -> [Journal.Entry] {
        var found = named
        if change.removed.contains(where: { $0.kind == .node && $0.name == node.name }) { found = [] }
        for object in change.changed where object.metadata.name == node.name {
            if case .node(let own) = object.body { found = own.internalAddresses }
        }
        guard found != named else { return [] }
        named = found
        return look()
    }

    /// Asks the kernel again. What it doesn't tell stays as it was.
    mutating func look() -> [Journal.Entry] {
        do throws(HostNetworkFailure) {
            let host = try HostAddresses.now(routes: nodePorts?.goesByRoutes ?? false)
            node.addresses = Set(host.addresses)
            guard let nodePorts else { return [] }
            let addresses = nodePorts.listened(on: host, named: named)
            let isNew = addresses != node.nodePortAddresses
            node.nodePortAddresses = addresses
            return isNew ? [report(addresses)] : []
        } catch {
            // Where clients near by can't be known by the host's addresses, loopback and an address that asks itself are.
            guard nodePorts != nil else { return [] }
            // Known to nobody, they are served nowhere: the option is there to keep them from somewhere.
            node.nodePortAddresses = node.nodePortAddresses ?? []
            guard said != "\(error)" else { return [] }
            said = "\(error)"
            return [Journal.Entry(level: .warning, message: "this node's addresses are not known", fields: ["reason": "\(error)"])]
        }
    }

    private mutating func report(_ addresses: [IPAddress]) -> Journal.Entry {
        said = nil
        let option = "\(nodePorts.map { "\($0)" } ?? "")"
        guard !addresses.isEmpty else {
            return Journal.Entry(
                level: .warning, message: "node ports are not served: no address of this host is in --nodeport-addresses",
                fields: ["nodeportAddresses": option])
        }
        return Journal.Entry(
            level: .info, message: "node ports are served on some addresses only",
            fields: ["addresses": addresses.map(\.description).joined(separator: ","), "nodeportAddresses": option])
    }
}
