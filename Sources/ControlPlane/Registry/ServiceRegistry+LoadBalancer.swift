internal import Addressing
internal import ServiceModel

/// Addresses of load balancers, as MetalLB gives them in a cluster. None is no reason to refuse a Service: it waits for one.
extension ServiceRegistry {
    /// Gives a Service that was admitted what it asks for, and writes it into its status.
    mutating func giveLoadBalancerIPs(
        to new: inout ServiceManifest, from allocations: inout Allocations, into findings: inout Findings
    ) {
        let key = new.serviceKey
        let service = new.service
        pending.remove(key)
        // What its text says of its status is believed, for it was given by somebody else; of the pools it must be free.
        let written = service.loadBalancerIPs.filter(allocations.isInLoadBalancerPool)
        guard service.type == .loadBalancer, service.loadBalancerClass == loadBalancerClass, new.ingress.isEmpty || !written.isEmpty
        else {
            allocations.releaseLoadBalancer(of: key)
            return
        }
        var addresses = allocations.allocation(of: key)?.loadBalancerIPs ?? []
        var refusal: LoadBalancerRefusal?
        do throws(LoadBalancerRefusal) {
            var request = try LoadBalancerRequest(new)
            if !written.isEmpty { request.ask(for: written) }
            (addresses, refusal) = allocations.assign(request, to: key)
        } catch {
            refusal = error
        }
        new.ingress.removeAll { entry in IPAddress(entry.ip).map { written.contains($0) && !addresses.contains($0) } ?? false }
        for address in addresses where !written.contains(address) { new.takeIngress(address) }
        guard let refusal else { return }
        pending.insert(key)
        // A cluster without pools says nothing, and leaves it to somebody else.
        if refusal == .noPools, strictness == .kubernetes { return }
        let state = addresses.isEmpty ? "its EXTERNAL-IP is pending" : "its EXTERNAL-IP stays as it was"
        findings.append(Finding(.warning, detail: "\(state): \(refusal)", location: new.location))
    }
}
