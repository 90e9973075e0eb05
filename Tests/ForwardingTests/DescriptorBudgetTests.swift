import Testing

@testable import Forwarding

struct DescriptorBudgetTests {
    @Test func connectionsStayWithinTheLimitOfOpenFiles() {
        for files in [16, 64, 256, 1024, 20_000, 1_000_000] {
            for workers in [1, 2, 16] {
                for listeners in [0, 10, 100_000] {
                    let connections = DescriptorBudget(openFiles: files, workers: workers, listeners: listeners).connections
                    #expect(connections >= 1)
                    #expect(connections * 2 <= files)
                }
            }
        }
        #expect(DescriptorBudget(openFiles: 20_000, workers: 1).connections >= 9_900)
    }

    @Test func whatIsSetAsideIsWhatIsMissing() {
        let budget = DescriptorBudget(openFiles: 20_000, workers: 2, listeners: 30)
        #expect(budget.ofProgram == 64 && budget.ofEngines == 16 && budget.ofPipes == 256 && budget.ofListeners == 30)
        #expect(budget.connections == (20_000 - 64 - 16 - 256 - 30) / 2)
    }

    @Test func theTablesOfTheWorkersAreALimit() {
        let budget = DescriptorBudget(openFiles: 10_000_000, workers: 2)
        #expect(budget.connections == 2 * Limits.flowsMax && budget.connections == budget.tables)
    }
}
