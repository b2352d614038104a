// Vant's pieces one by one. Never `vant/es/*/style`: that brings the icon font, which the policy of the page refuses.
import 'vant/es/style/base.css'
import 'vant/es/overlay/index.css'
import 'vant/es/popup/index.css'

export { Popup } from 'vant/es/popup'
