import RecognizerKit
import SwiftUI

/// Draws a frame around the part of the image that the model sees, and darkens the rest.
struct ViewfinderView: View {
    let frameSize: CGSize
    let input: InputSpec
    let isActive: Bool
    @Environment(\.colorSchemeContrast) private var contrast

    var body: some View {
        GeometryReader { proxy in
            let shade = contrast == .increased ? 0.7 : 0.4
            let geometry = FrameGeometry(frameSize: frameSize, viewSize: proxy.size)
            let seen = geometry.seenInView(by: input)
            if !seen.isEmpty {
                Path { path in
                    path.addRect(CGRect(origin: .zero, size: proxy.size))
                    path.addRect(seen)
                }
                .fill(.black.opacity(shade), style: FillStyle(eoFill: true))
                Path(roundedRect: seen.insetBy(dx: 2, dy: 2), cornerRadius: 12)
                    .stroke(isActive ? Color.accentColor : .white, lineWidth: 3)
            }
        }
        .allowsHitTesting(false)
        .accessibilityHidden(true)
    }
}
