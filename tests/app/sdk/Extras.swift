// Compiled with the app: what Foundation has on Apple's systems only, and the app's one UIView,
// whose Objective-C selectors there are no others of.
import AVFoundation
import SwiftUI

extension String {
    init(localized text: String) {
        self = text
    }
}

extension ProcessInfo {
    enum ThermalState { case nominal, fair, serious, critical }
    var thermalState: ThermalState { .nominal }
    static let thermalStateDidChangeNotification = Notification.Name("thermal")
}

struct CameraPreview: View {
    let source: PreviewSource
    let camera: CameraInfo?
    let onRotation: @MainActor (CGFloat) -> Void
    let onTap: @MainActor (CGPoint) -> Void

    var body: some View {
        EmptyView()
    }
}
