import 'vant/es/style/base.css'
import 'vant/es/swipe-cell/index.css'

export { SwipeCell } from 'vant/es/swipe-cell'
