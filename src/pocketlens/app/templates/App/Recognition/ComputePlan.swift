import CoreML
import Foundation

/// Where Core ML means to run a model's operations: how many on each processor.
struct ComputePlan: Sendable {
    enum Processor: CaseIterable, Sendable {
        case neuralEngine, gpu, cpu
    }

    private(set) var operations: [Processor: Int] = [:]

    /// The processor that most operations run on; `nil` when Core ML does not tell.
    var busiest: Processor? {
        Processor.allCases.filter { operations[$0] != nil }.max {
            operations[$0, default: 0] < operations[$1, default: 0]
        }
    }

    init(model: URL, computeUnits: MLComputeUnits) async throws {
        let options = MLModelConfiguration()
        options.computeUnits = computeUnits
        let plan = try await MLComputePlan.load(contentsOf: model, configuration: options)
        switch plan.modelStructure {
        case .program(let program):
            for operation in program.functions["main"]?.block.operations ?? [] {
                count(plan.deviceUsage(for: operation))
            }
        case .neuralNetwork(let network):
            for layer in network.layers {
                count(plan.deviceUsage(for: layer))
            }
        default:
            break
        }
    }

    /// Constants are on no processor.
    private mutating func count(_ usage: MLComputePlan.DeviceUsage?) {
        guard let usage else { return }
        let processor: Processor? =
            switch usage.preferred {
            case .neuralEngine: .neuralEngine
            case .gpu: .gpu
            case .cpu: .cpu
            @unknown default: nil
            }
        if let processor {
            operations[processor, default: 0] += 1
        }
    }
}
