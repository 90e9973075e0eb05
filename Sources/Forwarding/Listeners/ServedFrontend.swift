package import Routing

/// A frontend as the workers serve it: the routing value and the rows its connections are counted in.
package final class ServedFrontend: Sendable {
    package let frontend: Frontend
    let serviceRow: Int
    /// One row for each of the group's endpoints, in its order.
    let endpointRows: [Int]

    package init(frontend: Frontend, serviceRow: Int, endpointRows: [Int]) {
        precondition(endpointRows.count == frontend.group.endpoints.count, "one row for each endpoint")
        self.frontend = frontend
        self.serviceRow = serviceRow
        self.endpointRows = endpointRows
    }
}
