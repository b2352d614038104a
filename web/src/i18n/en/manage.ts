export default { title: 'Manage knowledge bases' }
