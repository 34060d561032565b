import RecognizerKit
import SwiftUI

/// The three most probable classes, the time per frame, and the processor that runs the model.
struct DetailsView: View {
    let details: RecognitionDetails

    var body: some View {
        VStack(alignment: .leading) {
            RankingView(ranking: details.ranking)
            HStack {
                Text(details.duration, format: .units(allowed: [.milliseconds], width: .narrow))
                    .monospacedDigit()
                if let processor = details.processor {
                    Text(processor.name)
                }
            }
            .font(.caption)
            .foregroundStyle(.secondary)
        }
        .padding()
        .background(.regularMaterial, in: .rect(cornerRadius: 16))
        .padding(.horizontal)
    }
}

extension ComputePlan.Processor {
    var name: LocalizedStringKey {
        switch self {
        case .neuralEngine: "Neural Engine"
        case .gpu: "Graphics processor"
        case .cpu: "Main processor"
        }
    }
}
